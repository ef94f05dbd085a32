//! The functions of templates.

/// The functions of Go's own language.
pub const BUILTINS: &[&str] = &[
    "and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or",
    "print", "printf", "println", "slice", "urlquery",
];

/// The functions of consul-template that work.
pub const FUNCTIONS: &[&str] = &[
    "add",
    "base64Decode",
    "base64Encode",
    "base64URLDecode",
    "base64URLEncode",
    "contains",
    "divide",
    "in",
    "indent",
    "join",
    "loop",
    "maximum",
    "minimum",
    "modulo",
    "multiply",
    "parseBool",
    "parseFloat",
    "parseInt",
    "parseJSON",
    "parseUint",
    super::PKI_CERT,
    "replaceAll",
    super::SECRET,
    "split",
    "splitToMap",
    "subtract",
    "toJSON",
    "toJSONPretty",
    "toLower",
    "toTitle",
    "toUnescapedJSON",
    "toUnescapedJSONPretty",
    "toUpper",
    "toYAML",
    "trim",
    "trimPrefix",
    "trimSpace",
    "trimSuffix",
];

/// Functions that people write and that do not work, each with the reason and the way out.
pub const REFUSED: &[(&str, &str)] = &[
    ("env", "the agent's environment is not the application's: write the value in the template"),
    ("envOrDefault", "the agent's environment is not the application's: write the value"),
    ("executeTemplate", "use {{ template \"NAME\" . }}"),
    ("file", "a template reads no file: have the application read it"),
    ("key", "a template reads Vault and not Consul"),
    ("mustEnv", "the agent's environment is not the application's: write the value"),
    ("plugin", "a template runs no program"),
    ("scratch", "use a variable, {{ $x := … }}"),
    ("secrets", "a template lists no path: name each secret"),
    ("service", "a template reads Vault and not Consul"),
    ("timestamp", "the file would change without a secret that does"),
    ("writeToFile", "a template writes one file: give each file an annotation of its own"),
];
