//! Questions between gateways: a request to the incarnation that has a duty.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faceway_core::{AskError, Duty, Question, SpoolError};

use crate::client::{Headers, Listener, Reply};
use crate::names::{StreamKind, name, token};
use crate::shared::Shared;

use super::record::Standing;

/// Which duty a question is about.
const KIND: &str = "Fw-Kind";
const NAME: &str = "Fw-Name";
/// The sender wants the duty; there is no answer.
const WANT: &str = "Fw-Want";
/// Instead of an answer.
const ERROR: &str = "Fw-Error";
/// The error of a gateway that does not have the duty.
const NO_OWNER: &str = "no-owner";

/// How long an owner has for its answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// What the headers of a message may take up.
const HEADERS: usize = 2048;

fn headers(duty: &Duty) -> Headers {
    let mut headers = Headers::default();
    headers.set(KIND, duty.kind());
    headers.set(NAME, token(duty.name()));
    headers
}

fn duty(headers: &Headers) -> Option<Duty> {
    Duty::of(headers.get(KIND)?, &name(headers.get(NAME)?)?)
}

/// Serves what others ask of this incarnation.
pub(crate) async fn hear(shared: &Arc<Shared>, questions: &mut Listener) {
    while let Some(heard) = questions.next().await {
        let Some(duty) = duty(&heard.headers) else {
            continue;
        };
        if heard.headers.get(WANT).is_some() {
            let grants = shared.duties.grants();
            let wanted = grants.iter().filter(|grant| grant.duty == duty);
            wanted.for_each(|grant| grant.want());
            continue;
        }
        let Some(reply) = heard.reply else {
            continue;
        };
        if shared.duties.has(&duty) {
            shared.hear(duty, heard.payload, reply);
        } else {
            let mut headers = Headers::default();
            headers.set(ERROR, NO_OWNER);
            shared.client.tell(reply, headers, Bytes::new()).await;
        }
    }
}

impl Shared {
    fn hear(self: &Arc<Self>, duty: Duty, text: Bytes, reply: String) {
        let shared = Arc::clone(self);
        let answer = move |answer: Bytes| {
            let tasks = shared.tasks.clone();
            tasks.spawn(async move { shared.answer(reply, answer).await });
        };
        let question = Question {
            duty,
            text,
            answer: Box::new(answer),
        };
        if self.duties.questions.try_send(question).is_err() {
            self.warn("question", || {
                format!(
                    "another gateway asks, and {} questions wait already: it has no answer",
                    super::QUESTIONS_MAX
                )
            });
        }
    }

    async fn answer(&self, reply: String, answer: Bytes) {
        let mut headers = Headers::default();
        let (size, max) = (answer.len() + HEADERS, self.client.payload_max());
        if size > max {
            let text = format!(
                "the answer has {} bytes, and the servers take {max}: raise max_payload in their configuration",
                answer.len()
            );
            headers.set(ERROR, text);
            self.client.tell(reply, headers, Bytes::new()).await;
        } else {
            self.client.tell(reply, headers, answer).await;
        }
    }

    pub(super) async fn ask(&self, duty: &Duty, question: Bytes) -> Result<Bytes, AskError> {
        let max = self.client.payload_max();
        if question.len() + HEADERS > max {
            return Err(SpoolError(format!(
                "the question has {} bytes, and the servers take {max}: raise max_payload in their configuration",
                question.len()
            ))
            .into());
        }
        let subject = self.client.names.duty(duty);
        let kept = self
            .client
            .last_at_leader(StreamKind::State, &subject)
            .await;
        let kept = kept.map_err(SpoolError::from)?;
        let Standing::Owned { record, .. } = Standing::of(kept.as_ref()) else {
            return Err(AskError::NoOwner);
        };
        if record.incarnation == self.members.life().incarnation {
            return Err(AskError::NoOwner);
        }
        let subject = self.client.names.ask(&record.incarnation);
        let asked = self.client.ask(subject, headers(duty), question, PATIENCE);
        match asked.await.map_err(SpoolError::from)? {
            Reply::Answer(headers, answer) => match headers.get(ERROR) {
                None => Ok(answer),
                Some(NO_OWNER) => Err(AskError::NoOwner),
                Some(text) => Err(SpoolError(text.to_owned()).into()),
            },
            Reply::Silence => Err(AskError::Silent),
            Reply::NoResponders => {
                let look = self.look_at_members().await.map_err(SpoolError::from)?;
                let is_member = look.living.contains_key(&record.incarnation);
                Err(if is_member {
                    AskError::Silent
                } else {
                    AskError::NoOwner
                })
            }
        }
    }

    /// Lets an owner know that this gateway is to have its duty.
    pub(super) async fn want(&self, owner: &str, duty: &Duty) {
        let mut headers = headers(duty);
        headers.set(WANT, 1);
        let subject = self.client.names.ask(owner);
        self.client.tell(subject, headers, Bytes::new()).await;
    }
}
