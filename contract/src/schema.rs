//! The OpenAPI schemas of types that are texts or numbers of a certain form.

use utoipa::openapi::schema::{KnownFormat, Object, ObjectBuilder, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::api::TokenName;
use crate::bundle::{BundleRef, Generation, GenerationTag, Version};
use crate::credential::Credential;
use crate::layout::MAX_VALUE_BYTES;
use crate::metadata::{MAX_TAG_CHANGES, Message, Notes, TagChanges, TagValue};
use crate::name::SecretName;
use crate::redacted::Redacted;
use crate::scope::Scope;
use crate::secret_ref::SecretRef;

/// The characters that everybody sees, as far as a pattern says it briefly.
const HIDES_NOTHING: &str = "^[^\\x00-\\x08\\x0b-\\x1f\\x7f]*$";

/// The value of a Kubernetes label.
const TAG_VALUE: &str = "^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$";

/// The largest integer that every JSON parser reads exactly.
const MAX_INTEGER: f64 = 9_007_199_254_740_991.0;

fn text(description: &str, pattern: &str, length: (usize, usize), example: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .pattern(Some(pattern))
        .min_length(Some(length.0))
        .max_length(Some(length.1))
        .examples([example])
}

/// One of these words.
pub(crate) fn words(what: &str, all: &[&str]) -> RefOr<Schema> {
    let object = ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(format!("A {what}.")))
        .enum_values(Some(all.iter().copied()));
    RefOr::T(Schema::Object(object.build()))
}

fn number(description: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .description(Some(description))
        .minimum(Some(1.0))
        .maximum(Some(MAX_INTEGER))
        .examples([1])
}

/// A text or `null` by key.
fn changes_by_key(description: &str, pattern: &str, most: usize) -> ObjectBuilder {
    let value = ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .pattern(Some(pattern));
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some(description))
        .additional_properties(Some(value))
        .max_properties(Some(most))
}

macro_rules! schemas {
    ($($name:ty = $object:expr;)+) => { $(
        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                RefOr::T(Schema::Object(Object::from($object)))
            }
        }
        impl ToSchema for $name {}
    )+ };
}

schemas! {
    Scope = text(
        "Where secrets live: `project`, `project.environment` or `project.environment.service`, \
            each part a DNS label.",
        r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?){0,2}$",
        (1, 191),
        "shop.prod.api",
    );
    SecretName = text(
        "The name of a secret, which is also the name of its file in a pod. `kubernetes.io` is \
            none.",
        r"^(?!kubernetes\.io$)[A-Za-z_][A-Za-z0-9_.-]{0,252}$",
        (1, 253),
        "DATABASE_URL",
    );
    SecretRef = text(
        "A scope and the name of a secret in it.",
        r"^[a-z0-9.-]+/[A-Za-z_][A-Za-z0-9_.-]{0,252}$",
        (3, 445),
        "shop.prod/DB_HOST",
    );
    BundleRef = text(
        "The name of a bundle as a pod asks for it: `<service>-<environment>`.",
        r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?-[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
        (3, 127),
        "api-prod",
    );
    GenerationTag = text(
        "Tells generations with the same number apart.",
        r"^[a-z0-9]{1,32}$",
        (1, 32),
        "4f0c2b7a91d3e586",
    );
    TokenName = text(
        "The name of a token.",
        r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$",
        (1, 63),
        "ci-deploy",
    );
    Message = text(
        "Why a version was written, on one line. It is not secret.",
        HIDES_NOTHING,
        (1, 300),
        "the old key was in a log, INC-4711",
    );
    Notes = text(
        "What people should know about a secret, on any number of lines. They are not secret.",
        HIDES_NOTHING,
        (1, 2000),
        "renewed at the issuer by the payments team",
    );
    TagValue = text(
        "The value of a tag, as of a Kubernetes label.",
        TAG_VALUE,
        (0, 63),
        "payments",
    );
    TagChanges = changes_by_key(
        "Tags to set, and with `null` tags to remove. Others stay. A key has the form of that of a \
            Kubernetes label. Tags are not secret.",
        TAG_VALUE,
        MAX_TAG_CHANGES,
    );
    // Four characters for each three bytes; what is left over ends in zero bits.
    Redacted = text(
        "A value, in standard base64 with padding.",
        r"^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$",
        (0, MAX_VALUE_BYTES.div_ceil(3) * 4),
        "aHVudGVyMg==",
    )
    .format(Some(SchemaFormat::KnownFormat(KnownFormat::Byte)))
    .content_encoding("base64");
    Credential = text("A token, as it is.", r"^[!-~]+$", (1, 16_384), "enclii_5b1f…")
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Password)));
    Version = number("The number of a secret's version.");
    Generation = number("The number of a bundle's generation.");
}
