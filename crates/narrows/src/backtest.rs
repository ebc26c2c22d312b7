//! Recorded operations under other rules: what would be refused, held, masked or let go that was
//! not.
//!
//! The record is read in order ([`record`]), gateway by gateway. Each operation meets the new rules
//! when it was decided and again when its reply was complete, as it did then ([`gateway`]), by the
//! code that decides for the gateway. What the record does not tell stays unknown ([`facts`]): a
//! rule that hangs on it is named, and unless it could change nothing nobody can say what would
//! have come of the operation ([`judge`]).
//!
//! Two things are supposed: whoever was held would have got a yes, and clients would have asked the
//! same.

mod facts;
pub mod gateway;
mod judge;
mod masks;
pub mod record;
pub mod report;
mod usage;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{Principal, Resource};
use policy::{ActionSpec, BlockId, PolicySet, Scope};

use crate::config::{Config, Loaded, digest};
use crate::protocols::Rulebook;

/// A resource as operations on it are judged.
pub struct Place {
    /// Name and type.
    pub resource: Resource,
    /// Where its protocol's facts are.
    pub block: BlockId,
    /// Settings that its protocol reads.
    pub options: serde_json::Value,
}

/// The new rules, ready to judge.
pub struct Rules {
    policy: PolicySet,
    /// Digests by name.
    digests: BTreeMap<String, String>,
    /// Names of the rules that mask fields.
    field_masks: BTreeSet<String>,
    places: BTreeMap<Arc<str>, Place>,
    /// Where the facts of what is spoken in HTTP are.
    web: BlockId,
    /// Bytes of a reply that may be withheld.
    hold_buffer_bytes: u64,
    /// The rules of today, which tell why something was masked; where there are any.
    today: Option<PolicySet>,
    /// Resources whose settings are not those of today.
    resettled: BTreeSet<Arc<str>>,
}

impl Rules {
    /// Of a configuration. `today` is the one in use.
    #[must_use]
    pub fn new(new: Loaded, today: Option<Loaded>, rulebook: &Rulebook) -> Self {
        let Loaded { config, policy, .. } = new;
        let places = places(&config, rulebook);
        let resettled = match &today {
            None => BTreeSet::new(),
            Some(today) => {
                let before = places_by_options(&today.config);
                let now = places_by_options(&config);
                let differs = |name: &&Arc<str>| {
                    before.get(*name).is_some_and(|options| now.get(*name) != Some(options))
                };
                now.keys().filter(differs).cloned().collect()
            }
        };
        let masks = config.policy.rules.iter().filter(|rule| match &rule.action {
            ActionSpec::Mask(mask) => !mask.fields.is_empty() && !rule.observe,
            _ => false,
        });
        Self {
            policy,
            digests: digest::of(&config.policy),
            field_masks: masks.map(|rule| rule.name.value.clone()).collect(),
            places,
            web: rulebook.web().1,
            hold_buffer_bytes: config.hold_buffer_bytes as u64,
            today: today.map(|today| today.policy),
            resettled,
        }
    }

    /// The rules for one principal at one place.
    fn scope(&self, principal: &Principal, place: &Place) -> Scope {
        self.policy.scope(principal, &place.resource, place.block)
    }

    /// The same of today's rules.
    fn scope_today(&self, principal: &Principal, place: &Place) -> Option<Scope> {
        let today = self.today.as_ref()?;
        Some(today.scope(principal, &place.resource, place.block))
    }
}

fn places(config: &Config, rulebook: &Rulebook) -> BTreeMap<Arc<str>, Place> {
    let upstreams = config.upstreams.iter().filter_map(|upstream| {
        let kind = &*upstream.resource.kind;
        let (_, block) = rulebook.blocks().iter().find(|(protocol, _)| protocol.name() == kind)?;
        Some((&upstream.resource, &upstream.options, *block))
    });
    let (_, block) = rulebook.web();
    let sites = config.sites.iter().map(|site| (&site.resource, &site.options, block));
    let place = |(resource, options, block): (&Resource, &serde_json::Value, _)| {
        let place = Place { resource: resource.clone(), block, options: options.clone() };
        (Arc::clone(&resource.name), place)
    };
    upstreams.chain(sites).map(place).collect()
}

fn places_by_options(config: &Config) -> BTreeMap<Arc<str>, serde_json::Value> {
    let upstreams = config.upstreams.iter().map(|one| (&one.resource.name, &one.options));
    let sites = config.sites.iter().map(|one| (&one.resource.name, &one.options));
    upstreams.chain(sites).map(|(name, options)| (Arc::clone(name), options.clone())).collect()
}
