//! A simulated browser: follows redirects, keeps cookies, fills in and submits forms.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::blocking::{Client, Response};
use reqwest::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;

/// More pages than any login has.
const MAX_PAGES: usize = 20;

pub(crate) struct Browser {
    client: Client,
    cookies: BTreeMap<String, String>,
    person: &'static str,
}

impl Browser {
    pub(crate) fn new(person: &'static str) -> Result<Self> {
        let tls = rustls::ClientConfig::builder()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let builder = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(Policy::none())
            .timeout(Duration::from_secs(20));
        Ok(Self { client: builder.build()?, cookies: BTreeMap::new(), person })
    }

    /// Logs in at `url`, page by page until one has no form. Returns its text.
    pub(crate) fn log_in(&mut self, url: &str) -> Result<String> {
        let mut answer = self.send(url, None)?;
        for _ in 0..MAX_PAGES {
            let here = answer.url().clone();
            if let Some(next) = answer.headers().get(LOCATION) {
                let next = here.join(next.to_str()?)?;
                answer = self.send(next.as_str(), None)?;
                continue;
            }
            let page = answer.text()?;
            let Some((action, fields)) = self.fill_form(&page) else { return Ok(page) };
            let body = fields
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect::<Vec<_>>()
                .join("&");
            answer = self.send(here.join(&action)?.as_str(), Some(body))?;
        }
        bail!("the login has more than {MAX_PAGES} pages")
    }

    fn send(&mut self, url: &str, form: Option<String>) -> Result<Response> {
        let cookies = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join("; ");
        let request = match form {
            Some(body) => self
                .client
                .post(url)
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(body),
            None => self.client.get(url),
        };
        let answer =
            request.header(COOKIE, cookies).send().with_context(|| format!("open {url}"))?;
        for cookie in answer.headers().get_all(SET_COOKIE) {
            if let Some((name, value)) =
                cookie.to_str()?.split(';').next().and_then(|it| it.split_once('='))
            {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        Ok(answer)
    }

    /// The first form of a page, filled in for this person: its action and its fields.
    fn fill_form(&self, page: &str) -> Option<(String, Vec<(String, String)>)> {
        let form = &page[page.find("<form")?..];
        let form = &form[..form.find("</form>")?];
        let action = attribute(form.split('>').next()?, "action")?;
        let inputs = form.split("<input").skip(1).filter_map(|input| {
            let name = attribute(input, "name")?;
            let value = match name.as_str() {
                "login" => self.person.to_owned(),
                "password" => "whatever".to_owned(),
                _ => attribute(input, "value")?,
            };
            Some((name, value))
        });
        Some((action, inputs.collect()))
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let rest = tag.split('>').next()?.split_once(&format!("{name}=\""))?.1;
    Some(rest.split('"').next()?.to_owned())
}
