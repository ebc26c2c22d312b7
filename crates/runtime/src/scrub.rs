//! Sensitive values are taken out of what is recorded of requests (`recording.scrub`).
//!
//! What the client *sends* is recorded as it is: a card number in a statement would be in the
//! recording. With types to scrub, each value of them in a text, a parameter or a message is
//! replaced by its type in brackets before the event is written. Only the record changes: what is
//! judged, asked about and sent upstream is what the client sent.

use std::sync::Arc;

use detect::{Scanner, Span, TypeSet};
use model::{Event, EventBody};

/// Takes values of some types out of events.
pub(crate) struct Scrub {
    scanner: Scanner,
}

impl Scrub {
    /// `None` when there is nothing to take out.
    pub fn new(types: TypeSet) -> Option<Self> {
        (types != TypeSet::EMPTY).then(|| Self { scanner: Scanner::new(types) })
    }

    /// The events without the values; `None` when they hold none.
    pub fn events(&self, events: &[Event]) -> Option<Vec<Event>> {
        let mut scrubbed: Option<Vec<Event>> = None;
        for (at, event) in events.iter().enumerate() {
            let Some(body) = self.body(&event.body) else { continue };
            let all = scrubbed.get_or_insert_with(|| events.to_vec());
            if let Some(event) = all.get_mut(at) {
                event.body = body;
            }
        }
        scrubbed
    }

    fn body(&self, body: &EventBody) -> Option<EventBody> {
        let mut changed = body.clone();
        let found = match &mut changed {
            EventBody::Operation { text, parameters, message, .. } => {
                let mut found = false;
                if let Some(clean) = self.text(text) {
                    *text = Arc::from(clean);
                    found = true;
                }
                for value in parameters.iter_mut().filter_map(|of| of.value.as_mut()) {
                    found |= self.replace(value);
                }
                message.as_mut().is_some_and(|message| self.replace(message)) || found
            }
            EventBody::Ruling { message, reason, .. } => {
                let found = message.as_mut().is_some_and(|message| self.replace(message));
                reason.as_mut().is_some_and(|reason| self.replace(reason)) || found
            }
            EventBody::Alert { message, .. } => self.replace(message),
            _ => false,
        };
        found.then_some(changed)
    }

    fn replace(&self, text: &mut String) -> bool {
        match self.text(text) {
            Some(clean) => {
                *text = clean;
                true
            }
            None => false,
        }
    }

    /// The text without the values; `None` when it holds none.
    fn text(&self, text: &str) -> Option<String> {
        if !self.scanner.may_contain(text.as_bytes()) {
            return None;
        }
        let mut found: Vec<Span> = Vec::new();
        self.scanner.scan(text.as_bytes(), &mut found);
        let mut clean = String::with_capacity(text.len());
        let mut at = 0;
        for span in &found {
            // On character boundaries, as the scanner promises for UTF-8.
            clean.push_str(text.get(at..span.start).unwrap_or_default());
            clean.push('[');
            clean.push_str(span.kind.name());
            clean.push(']');
            at = span.end;
        }
        clean.push_str(text.get(at..).unwrap_or_default());
        (!found.is_empty()).then_some(clean)
    }
}

#[cfg(test)]
mod tests {
    use model::operation::Parameter;
    use model::{OperationId, Timestamp};

    use super::*;

    fn operation(text: &str, value: &str, message: Option<&str>) -> Event {
        Event {
            v: 1,
            at: Timestamp(1),
            gateway: "gw".into(),
            session: None,
            sequence: 1,
            principal: None,
            resource: None,
            body: EventBody::Operation {
                operation: OperationId(1),
                step: "query".into(),
                under: None,
                text: text.into(),
                parameters: vec![Parameter { kind: String::new(), value: Some(value.into()) }],
                objects: Arc::default(),
                decision: model::event::Verdict::Allow,
                rules: Vec::new(),
                message: message.map(str::to_owned),
                reason: None,
                approval: None,
                approver: None,
            },
            payload: Vec::new(),
        }
    }

    #[test]
    fn p7_values_in_texts_parameters_and_messages_are_named_and_gone() {
        let scrub = Scrub::new(TypeSet::ALL).unwrap();
        let event = operation(
            "insert into t values ('4111 1111 1111 1111', 'é', 'ann@corp.example')",
            "900-11-2222 and 536-22-8714",
            Some("POST of 4111111111111111 is refused"),
        );
        let clean = scrub.events(&[event]).unwrap();
        let text = serde_json::to_string(&clean).unwrap();
        for gone in ["4111", "ann@", "536-22"] {
            assert!(!text.contains(gone), "{gone}: {text}");
        }
        assert!(text.contains("values ('[CREDIT_CARD]', 'é', '[EMAIL]')"), "{text}");
        assert!(text.contains("POST of [CREDIT_CARD] is refused"), "{text}");
    }

    #[test]
    fn what_holds_nothing_stays_as_it_is() {
        let scrub = Scrub::new(TypeSet::ALL).unwrap();
        assert!(scrub.events(&[operation("select 1", "12", None)]).is_none());
        assert!(Scrub::new(TypeSet::EMPTY).is_none());
        let mixed =
            [operation("select 1", "12", None), operation("select '4111111111111111'", "12", None)];
        let clean = scrub.events(&mixed).unwrap();
        assert_eq!(clean[0], mixed[0]);
        assert_ne!(clean[1], mixed[1]);
    }
}
