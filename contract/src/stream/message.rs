//! The messages that frames carry.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::frame::{self, Frame};
use super::outcome::{CheckResult, CheckStage, FailedStep, ReloadOutcome};
use crate::bundle::{BundleRef, Generation, GenerationTag, Version};
use crate::layout::{MAX_BUNDLE_SECRETS, MAX_POD_BYTES};
use crate::name::SecretName;
use crate::redacted::Redacted;
use crate::requests::RequestWindow;

/// A message from switchyard to an agent.
#[derive(Debug)]
pub enum ServerMessage {
    /// The generations that this pod holds from now on.
    Hold(Snapshot),
    /// The CAs that may sign switchyard's certificate from now on, PEM.
    Trust {
        /// The bundle.
        ca: String,
    },
    /// Asks for a [`AgentMessage::Pong`].
    Ping,
    /// Asks for [`AgentMessage::Requests`] for some time, from now on. Sent only to an agent
    /// whose hello says that it can.
    CountRequests {
        /// For how long, in seconds; at most
        /// [`MAX_COUNT_SECONDS`](crate::requests::MAX_COUNT_SECONDS).
        seconds: u32,
    },
    /// The pod may no longer read what it asked for; the stream ends. The files stay.
    Refused {
        /// Who was refused what, for people.
        detail: String,
    },
    /// The pod's credential ends, and the stream with it. The agent logs in again; nothing is
    /// withdrawn.
    LoginRequired {
        /// Why, for people.
        detail: String,
    },
    /// A kind that this build does not know; only ever received.
    Unknown,
}

/// What a pod holds: one generation of each of its bundles, with the values.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// The bundles, in the order in which the pod named them.
    pub bundles: Vec<HeldBundle>,
}

/// One bundle of a [`Snapshot`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldBundle {
    /// The bundle.
    pub bundle: BundleRef,
    /// Its generation.
    pub generation: Generation,
    /// Tells the generation apart from others with this number.
    pub tag: Option<GenerationTag>,
    /// Its secrets.
    pub secrets: BTreeMap<SecretName, HeldSecret>,
}

/// One secret of a [`HeldBundle`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldSecret {
    /// The version.
    pub version: Version,
    /// The value.
    pub value: Redacted,
}

/// A message from an agent to switchyard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum AgentMessage {
    /// The first message: the agent's version and what its files hold already.
    Hello {
        /// The agent's version.
        agent: String,
        /// What the files hold, from before this stream; empty at first.
        #[serde(default)]
        holds: Vec<BundleGeneration>,
        /// The generations that failed a check in this pod. They are not sent to it again.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        refused: Vec<BundleGeneration>,
        /// Whether the agent can answer [`ServerMessage::CountRequests`]: the pod says where its
        /// metrics are.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        counts_requests: bool,
    },
    /// The files hold these generations, and this is how the application reacted.
    Applied {
        /// What the files hold.
        holds: Vec<BundleGeneration>,
        /// The outcome of the reload.
        reload: ReloadOutcome,
    },
    /// These generations could not be put into effect. The files hold what they held, unless the
    /// step is [`FailedStep::Reload`]: then they hold the new generations, and the application
    /// could not be notified.
    Failed {
        /// What should have been held.
        wanted: Vec<BundleGeneration>,
        /// Where it failed.
        step: FailedStep,
        /// What went wrong; never a value.
        detail: String,
    },
    /// The checks of these generations have ended.
    Checked {
        /// The generations.
        wanted: Vec<BundleGeneration>,
        /// When they were checked.
        stage: CheckStage,
        /// Each check and its outcome.
        checks: Vec<CheckResult>,
    },
    /// The application's requests, where it was asked for them.
    Requests {
        /// The metric that they come from.
        metric: String,
        /// The bounds of the latency histogram in microseconds, ascending; at most
        /// [`MAX_BOUNDS`](crate::requests::MAX_BOUNDS).
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        bounds: Vec<u64>,
        /// One window after the other; at most [`MAX_WINDOWS`](crate::requests::MAX_WINDOWS).
        windows: Vec<RequestWindow>,
    },
    /// A newer token of the same pod, in the frame's body. Without one the server ends the stream
    /// when the token of the login has expired.
    Token {
        /// The token.
        #[serde(skip)]
        token: Redacted,
    },
    /// The answer to a ping.
    Pong,
    /// A kind that this build does not know; only ever received.
    #[serde(other)]
    Unknown,
}

/// A bundle at a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleGeneration {
    /// The bundle.
    pub bundle: BundleRef,
    /// The generation.
    pub generation: Generation,
    /// The tag that the generation came with. A number without a tag names no generation for sure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<GenerationTag>,
}

/// Why a frame is not a message, or a message cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// The header is not the JSON of a message.
    #[error("read message: {0}")]
    Header(#[source] serde_json::Error),
    /// The body is shorter or longer than the values that the header lists.
    #[error("read message: body of {body} bytes does not hold the {listed} bytes that are listed")]
    Body {
        /// What arrived.
        body: usize,
        /// What the header lists.
        listed: usize,
    },
    /// More secrets than a bundle may have, or more bytes than a pod may hold.
    #[error(
        "build message: {0} secrets or {1} bytes are over the limit of {MAX_BUNDLE_SECRETS} \
         secrets per bundle and {MAX_POD_BYTES} bytes per pod"
    )]
    TooLarge(usize, usize),
    /// The kind of the message is not known, so it cannot be sent.
    #[error("build message: its kind is not known")]
    Unknown,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
enum ServerHeader {
    Hold {
        bundles: Vec<BundleHeader>,
    },
    Trust {
        ca: String,
    },
    Ping,
    CountRequests {
        seconds: u32,
    },
    Refused {
        detail: String,
    },
    LoginRequired {
        detail: String,
    },
    #[serde(other)]
    Unknown,
}

#[derive(Serialize, Deserialize)]
struct BundleHeader {
    bundle: BundleRef,
    generation: Generation,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tag: Option<GenerationTag>,
    secrets: Vec<SecretHeader>,
}

#[derive(Serialize, Deserialize)]
struct SecretHeader {
    name: SecretName,
    version: Version,
    length: usize,
}

impl ServerMessage {
    /// The message's bytes.
    ///
    /// # Errors
    /// When a snapshot is over the limits, and for a message of an unknown kind.
    pub fn encode(&self) -> Result<Redacted, MessageError> {
        let mut values = Vec::new();
        let header = match self {
            Self::Hold(snapshot) => {
                let mut bundles = Vec::with_capacity(snapshot.bundles.len());
                for held in &snapshot.bundles {
                    let mut secrets = Vec::with_capacity(held.secrets.len());
                    for (name, secret) in &held.secrets {
                        secrets.push(SecretHeader {
                            name: name.clone(),
                            version: secret.version,
                            length: secret.value.len(),
                        });
                        values.push(secret.value.expose());
                    }
                    bundles.push(BundleHeader {
                        bundle: held.bundle.clone(),
                        generation: held.generation,
                        tag: held.tag.clone(),
                        secrets,
                    });
                }
                let bytes = values.iter().map(|value| value.len()).sum();
                if bytes > MAX_POD_BYTES
                    || snapshot.bundles.iter().any(|held| held.secrets.len() > MAX_BUNDLE_SECRETS)
                {
                    return Err(MessageError::TooLarge(values.len(), bytes));
                }
                ServerHeader::Hold { bundles }
            }
            Self::Trust { ca } => ServerHeader::Trust { ca: ca.clone() },
            Self::Ping => ServerHeader::Ping,
            Self::CountRequests { seconds } => ServerHeader::CountRequests { seconds: *seconds },
            // What another build means by it cannot be said again.
            Self::Unknown => return Err(MessageError::Unknown),
            Self::Refused { detail } => ServerHeader::Refused { detail: detail.clone() },
            Self::LoginRequired { detail } => {
                ServerHeader::LoginRequired { detail: detail.clone() }
            }
        };
        let header = serde_json::to_vec(&header).map_err(MessageError::Header)?;
        Ok(frame::encode(&header, &values))
    }

    /// Reads a frame's message.
    ///
    /// # Errors
    /// When the header or the body is malformed.
    pub fn decode(frame: &Frame) -> Result<Self, MessageError> {
        let header: ServerHeader =
            serde_json::from_slice(&frame.header).map_err(MessageError::Header)?;
        Ok(match header {
            ServerHeader::Hold { bundles } => Self::Hold(snapshot(bundles, frame.body.expose())?),
            ServerHeader::Trust { ca } => Self::Trust { ca },
            ServerHeader::Ping => Self::Ping,
            ServerHeader::CountRequests { seconds } => Self::CountRequests { seconds },
            ServerHeader::Refused { detail } => Self::Refused { detail },
            ServerHeader::LoginRequired { detail } => Self::LoginRequired { detail },
            ServerHeader::Unknown => Self::Unknown,
        })
    }
}

fn snapshot(bundles: Vec<BundleHeader>, body: &[u8]) -> Result<Snapshot, MessageError> {
    let listed = bundles
        .iter()
        .flat_map(|bundle| &bundle.secrets)
        .fold(0usize, |sum, secret| sum.saturating_add(secret.length));
    if listed != body.len() {
        return Err(MessageError::Body { body: body.len(), listed });
    }
    let mut rest = body;
    let bundles = bundles
        .into_iter()
        .map(|BundleHeader { bundle, generation, tag, secrets }| {
            let secrets = secrets
                .into_iter()
                .map(|SecretHeader { name, version, length }| {
                    let (value, tail) = rest.split_at(length);
                    rest = tail;
                    (name, HeldSecret { version, value: Redacted::from(value) })
                })
                .collect();
            HeldBundle { bundle, generation, tag, secrets }
        })
        .collect();
    Ok(Snapshot { bundles })
}

impl AgentMessage {
    /// The message's bytes.
    ///
    /// # Errors
    /// For a message of an unknown kind.
    pub fn encode(&self) -> Result<Redacted, MessageError> {
        if *self == Self::Unknown {
            return Err(MessageError::Unknown);
        }
        let header = serde_json::to_vec(self).map_err(MessageError::Header)?;
        match self {
            Self::Token { token } => Ok(frame::encode(&header, &[token.expose()])),
            _ => Ok(frame::encode(&header, &[])),
        }
    }

    /// Reads a frame's message.
    ///
    /// # Errors
    /// When the header or the body is malformed.
    pub fn decode(frame: &Frame) -> Result<Self, MessageError> {
        let mut message = serde_json::from_slice(&frame.header).map_err(MessageError::Header)?;
        if let Self::Token { token } = &mut message {
            token.clone_from(&frame.body);
        }
        Ok(message)
    }
}

impl Snapshot {
    /// Which generations these are.
    #[must_use]
    pub fn holds(&self) -> Vec<BundleGeneration> {
        self.bundles
            .iter()
            .map(|held| BundleGeneration {
                bundle: held.bundle.clone(),
                generation: held.generation,
                tag: held.tag.clone(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
