//! Logins at a real, certified OpenID provider: in a browser, by device code, and with tokens that
//! no provider would issue. `make test-oidc` installs the provider and runs this.
#![expect(
    clippy::disallowed_methods,
    reason = "the environment says where the provider is installed"
)]

mod browser;
mod grants;
mod harness;
mod logins;
mod refusals;
