//! What of a recorded reply the new rules would hide, and what they would not hide any more.

use std::collections::BTreeSet;
use std::sync::Arc;

use archive::row::{Field, Row};
use engine::MaskPlan;

use super::judge::{Fate, Open};

/// Something of a reply, and the rules by which it is hidden.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Part {
    /// `schema.table.column`, a label, or a type of value.
    pub what: String,
    /// Rules.
    pub rules: Vec<Arc<str>>,
}

/// What changes.
#[derive(Debug, Default)]
pub struct Changes {
    /// Left in clear and would be hidden.
    pub hidden: BTreeSet<Part>,
    /// Was hidden and would leave in clear.
    pub shown: BTreeSet<Part>,
    /// What nobody can say.
    pub open: Vec<Open>,
}

/// The masks that concern one operation.
pub struct Masks<'a> {
    /// Those that it passes under.
    pub plan: &'a MaskPlan,
    /// All that may concern it, whatever their conditions.
    pub all: &'a MaskPlan,
    /// Of these, rules that are known to apply although it cannot be told why.
    pub besides: &'a [Arc<str>],
    /// Of these, rules of which nobody can say whether they apply.
    pub doubtful: &'a [Arc<str>],
    /// Today's, which tell why something was hidden.
    pub today: Option<&'a MaskPlan>,
    /// Whether a rule is as it was when this was recorded.
    pub is_same: &'a dyn Fn(&str) -> bool,
    /// The record names fields that were hidden only.
    pub names_hidden_only: bool,
    /// Rules that hid something then.
    pub then: Vec<Arc<str>>,
}

impl Masks<'_> {
    /// Compares them with what a reply was.
    pub fn compare(&self, reply: &Row) -> Changes {
        let mut changes = Changes::default();
        let is_empty = match self.names_hidden_only {
            true => reply.bytes == Some(0),
            false => reply.rows == Some(0),
        };
        if is_empty {
            return changes;
        }
        for column in reply.columns.chunk_by(|a, b| a.position == b.position) {
            self.column(column, &mut changes);
        }
        self.values(reply, &mut changes);
        if self.names_hidden_only {
            // Which other fields there were is not in the record.
            let fresh = self.plan.rules().filter(|rule| !(self.is_same)(rule));
            let fresh: BTreeSet<&Arc<str>> = fresh.collect();
            if self.plan.has_fields() {
                changes.open.extend(fresh.into_iter().map(|rule| open(rule, "the reply's fields")));
            }
        }
        changes
    }

    /// Rules of now and then that are not the same any more.
    fn changed(&self) -> BTreeSet<&Arc<str>> {
        let rules = self.plan.rules().chain(&self.then);
        rules.filter(|rule| !(self.is_same)(rule)).collect()
    }

    /// One column of a reply: an entry for each stored column that it depends on.
    fn column(&self, entries: &[Field], changes: &mut Changes) {
        let Some(first) = entries.first() else { return };
        let what = first.origin().unwrap_or_else(|| first.label.to_string());
        let hiding = |plan: &MaskPlan| {
            let mut rules: Vec<Arc<str>> = plan.rules_for_label(&first.label).cloned().collect();
            for entry in entries {
                if let (Some(schema), Some(table), Some(column)) =
                    (&entry.schema, &entry.table, &entry.column)
                {
                    rules.extend(plan.rules_for_field(schema, table, column).cloned());
                }
            }
            rules.sort_unstable();
            rules.dedup();
            rules
        };
        let mut rules = hiding(self.plan);
        let others = hiding(self.all);
        rules.extend(others.iter().filter(|rule| self.besides.contains(rule)).cloned());
        match (&first.mask, rules.is_empty()) {
            (None, false) => {
                changes.hidden.insert(Part { what, rules });
            }
            (None, true) => {
                let doubtful = others.iter().filter(|rule| self.doubtful.contains(rule));
                changes.open.extend(doubtful.map(|rule| open(rule, "its condition")));
            }
            (Some(_), false) => {}
            (Some(_), true) => {
                // Hidden by what it is named like, or by what it is made of?
                let named = self.today.map(hiding).unwrap_or_default();
                let fields = self.plan.has_fields();
                if !fields || !named.is_empty() || self.names_hidden_only {
                    let rules = if named.is_empty() { self.then.clone() } else { named };
                    changes.shown.insert(Part { what, rules });
                } else {
                    let fact = format!("why {what} was masked");
                    changes.open.extend(self.changed().into_iter().map(|rule| open(rule, &fact)));
                }
            }
        }
    }

    /// Values that are hidden wherever they are found.
    fn values(&self, reply: &Row, changes: &mut Changes) {
        for (found, _) in self.plan.detections() {
            let name = found.name();
            let rules: Vec<Arc<str>> = self.plan.rules_for_detection(*found).cloned().collect();
            if !reply.searched.iter().any(|searched| &**searched == name) {
                let fresh = rules.iter().filter(|rule| !(self.is_same)(rule));
                let fact = format!("whether the reply held {name}");
                changes.open.extend(fresh.map(|rule| open(rule, &fact)));
                continue;
            }
            let count = reply.detections.iter().find(|of| &*of.kind == name);
            if count.is_some_and(|of| of.seen > 0 && of.masked == 0)
                && rules.iter().any(|rule| !(self.is_same)(rule))
            {
                changes.hidden.insert(Part { what: name.to_owned(), rules });
            }
        }
        let hidden = |name: &str| self.plan.detections().iter().any(|(of, _)| of.name() == name);
        for of in reply.detections.iter().filter(|of| of.masked > 0 && !hidden(&of.kind)) {
            let still = self.plan.has_fields() && reply.columns.iter().any(|of| of.mask.is_some());
            if still {
                let fact = format!("where {} was masked", of.kind);
                changes.open.extend(self.changed().into_iter().map(|rule| open(rule, &fact)));
            } else {
                let rules = self.then.clone();
                changes.shown.insert(Part { what: of.kind.to_string(), rules });
            }
        }
    }
}

fn open(rule: &Arc<str>, fact: &str) -> Open {
    let facts = vec![fact.to_owned()];
    Open { rule: Arc::clone(rule), facts, fate: Fate::Passes, masks: true }
}
