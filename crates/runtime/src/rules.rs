//! What a reload swaps as one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use policy::PolicySet;

use crate::upstream::Upstream;
use crate::web::Site;

/// The rules and resources in force; immutable, replaced whole.
pub(crate) struct Rules {
    pub policy: Arc<PolicySet>,
    pub upstreams: HashMap<Arc<str>, Arc<Upstream>>,
    pub sites: BTreeMap<Arc<str>, Arc<Site>>,
}
