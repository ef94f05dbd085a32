//! People log in with a real, certified OpenID provider: in a browser, by a code, and with tokens
//! that no provider would make. `make test-oidc` installs the provider and runs this.
#![expect(
    clippy::disallowed_methods,
    reason = "a test is told by the environment where the provider is"
)]

mod browser;
mod grants;
mod logins;
mod refusals;
mod world;
