//! What of a reply is followed into later requests of the same principal (R14).
//!
//! A second reader goes over the reply as it came, and hides nothing: whatever is masked and
//! whatever a `classify` rule names becomes a print. Only where a rule asks where values go.

use std::sync::Arc;

use bytes::Bytes;
use engine::taint::{Taint, Trail};
use engine::{HashKey, MaskPlan};
use http::{HeaderMap, Method};
use model::exchange::Reply;

use crate::body::Hidden;
use crate::fields;
use crate::options::Options;
use crate::reply::{Passing, Unfit};

/// Longest path of keys by which a source is named, bytes.
const PLACE_BYTES_MAX: usize = 128;

/// Where values come from, and to whom they go.
pub struct Origin {
    trail: Arc<Trail>,
    resource: Arc<str>,
}

impl Origin {
    /// From this resource to the principal of this trail.
    pub fn new(trail: &Arc<Trail>, resource: &Arc<str>) -> Self {
        Self { trail: Arc::clone(trail), resource: Arc::clone(resource) }
    }

    /// The prints of a value that was found at this place of the resource.
    pub fn taints(&self, place: &str, value: &[u8]) -> Vec<Taint> {
        let mut end = place.len().min(PLACE_BYTES_MAX);
        while !place.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        let place = place.get(..end).unwrap_or_default();
        let source = Arc::from(format!("{}:{place}", self.resource));
        self.trail.taints(&source, value)
    }
}

/// Reads one reply.
pub struct Follower {
    origin: Origin,
    plan: Arc<MaskPlan>,
    body: Passing,
    found: Vec<Taint>,
}

impl Follower {
    /// Begins with the head, as it came.
    ///
    /// # Errors
    ///
    /// When the reply must be looked into and cannot.
    pub fn begin(
        reply: &Reply,
        like: (&Method, &Options),
        (plan, key): (&Arc<MaskPlan>, &Arc<HashKey>),
        origin: Origin,
    ) -> Result<Self, Unfit> {
        let body = Passing::reading(Box::new(reply.clone()), like, (plan, key))?;
        let mut follower = Self { origin, plan: Arc::clone(plan), body, found: Vec::new() };
        follower.fields(&reply.fields);
        Ok(follower)
    }

    /// Fields before or after the body.
    pub fn fields(&mut self, fields: &HeaderMap) {
        for Hidden { name, value } in fields::hidden(fields, &self.plan) {
            self.found.extend(self.origin.taints(&name, value.as_bytes()));
        }
    }

    /// Some of the body, as it came.
    ///
    /// # Errors
    ///
    /// When it cannot be searched.
    pub fn data(&mut self, bytes: &Bytes) -> Result<(), Unfit> {
        self.body.data(bytes.clone())?;
        self.collect();
        Ok(())
    }

    /// The end of the body.
    ///
    /// # Errors
    ///
    /// When it is not complete, or cannot be searched.
    pub fn end(&mut self) -> Result<(), Unfit> {
        self.body.end()?;
        self.collect();
        Ok(())
    }

    /// What was found since the last call.
    pub fn take(&mut self) -> Vec<Taint> {
        std::mem::take(&mut self.found)
    }

    fn collect(&mut self) {
        for Hidden { name, value } in self.body.take_hidden() {
            self.found.extend(self.origin.taints(&name, value.as_bytes()));
        }
    }
}
