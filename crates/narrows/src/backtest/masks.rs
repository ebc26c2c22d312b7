//! What of a recorded reply the new rules would hide, and what they would not hide any more.

use std::collections::BTreeSet;
use std::sync::Arc;

use archive::row::{Field, Row};
use engine::{MaskKind, MaskPlan};

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
    /// Left in clear and would be hidden, or would be hidden by a stricter mask.
    pub hidden: BTreeSet<Part>,
    /// Was hidden and would leave in clear.
    pub shown: BTreeSet<Part>,
    /// Was hidden and would be by a weaker mask.
    pub weaker: BTreeSet<Part>,
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
    /// The record names fields that were hidden only, by the keys that lead to them.
    pub names_hidden_only: bool,
    /// Whether a column of the reply, by its place and label, is a stored one itself; `None` where
    /// that is not known.
    pub is_stored: &'a dyn Fn(u64, &str) -> Option<bool>,
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
        let hiding = |plan: &MaskPlan| match self.names_hidden_only {
            true => Hiding::of_path(plan, &first.label),
            false => {
                Hiding::of_column(plan, entries, (self.is_stored)(first.position, &first.label))
            }
        };
        let now = hiding(self.plan);
        let others = hiding(self.all).rules;
        let besides: Vec<Arc<str>> =
            others.iter().filter(|rule| self.besides.contains(rule)).cloned().collect();
        let doubtful: Vec<&Arc<str>> =
            others.iter().filter(|rule| self.doubtful.contains(rule)).collect();
        let whole = || first.origin().filter(|_| entries.len() == 1);
        let what = |hiding: &Hiding| match hiding.origins.as_slice() {
            [] => whole().unwrap_or_else(|| first.label.to_string()),
            origins => origins.join(", "),
        };
        let Some(then) = &first.mask else {
            if now.sure.is_some() || !besides.is_empty() {
                let what = what(&now);
                let mut rules = now.rules;
                rules.extend(besides);
                changes.hidden.insert(Part { what, rules });
            } else {
                changes.open.extend(doubtful.into_iter().map(|rule| open(rule, "its condition")));
            }
            return;
        };
        if !besides.is_empty() {
            // They hid it as they would, and how is not told of each.
            return;
        }
        let Some((weakest, strictest)) = now.sure.zip(now.most) else {
            if now.most.is_some() {
                let fact = format!("what {} is a part of", what(&now));
                changes.open.extend(now.rules.iter().map(|rule| open(rule, &fact)));
            } else {
                self.shown(&first.label, self.today.map(hiding), &what, changes);
            }
            return;
        };
        let Ok(then) = then.parse::<MaskKind>() else { return };
        let part = |now: MaskKind, rules: Vec<Arc<str>>, what: String| Part {
            what: format!("{what}: {then} -> {now}"),
            rules,
        };
        let what = what(&now);
        if weakest < then {
            changes.hidden.insert(part(weakest, now.rules, what));
        } else if strictest > then && doubtful.is_empty() {
            changes.weaker.insert(part(weakest, now.rules, what));
        } else if weakest > then || strictest < then {
            let fact = match self.names_hidden_only {
                _ if strictest > then => "its condition".to_owned(),
                true => format!("what {what} is a part of"),
                false => format!("whether {what} is a stored column itself"),
            };
            let is_fresh = |rule: &&Arc<str>| !(self.is_same)(rule);
            let rules: Vec<&Arc<str>> = match strictest > then {
                true => doubtful,
                false if weakest > then => now.rules.iter().collect(),
                false => now.rules.iter().filter(is_fresh).collect(),
            };
            changes.open.extend(rules.into_iter().map(|rule| open(rule, &fact)));
        }
    }

    /// A column that was hidden, and that nothing which it is named like hides any more.
    fn shown(
        &self,
        label: &str,
        today: Option<Hiding>,
        what: &dyn Fn(&Hiding) -> String,
        changes: &mut Changes,
    ) {
        // Hidden by what it is named like, or by what it is made of?
        let named = today.unwrap_or_default();
        let fields = self.plan.has_fields();
        let what = if named.rules.is_empty() { label.to_owned() } else { what(&named) };
        if !fields || !named.rules.is_empty() || self.names_hidden_only {
            let rules = if named.rules.is_empty() { self.then.clone() } else { named.rules };
            changes.shown.insert(Part { what, rules });
        } else {
            let fact = format!("why {what} was masked");
            changes.open.extend(self.changed().into_iter().map(|rule| open(rule, &fact)));
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
            let Some(count) = count.filter(|of| of.seen > 0) else { continue };
            let fresh: Vec<&Arc<str>> = rules.iter().filter(|rule| !(self.is_same)(rule)).collect();
            if count.masked > 0 {
                // By which mask is not in the record.
                let fact = format!("how {name} was masked");
                changes.open.extend(fresh.into_iter().map(|rule| open(rule, &fact)));
            } else if !fresh.is_empty() {
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

/// How a plan hides one column or field.
#[derive(Default)]
struct Hiding {
    /// By these rules.
    rules: Vec<Arc<str>>,
    /// The stored columns that they name.
    origins: Vec<String>,
    /// At least like this.
    sure: Option<MaskKind>,
    /// At most like this.
    most: Option<MaskKind>,
}

impl Hiding {
    /// A column with the stored columns that it depends on: what is made of those is hidden as
    /// nothing less than redacted.
    fn of_column(plan: &MaskPlan, entries: &[Field], is_stored: Option<bool>) -> Self {
        let label = entries.first().map(|first| &*first.label).unwrap_or_default();
        let mut rules: Vec<Arc<str>> = plan.rules_for_label(label).cloned().collect();
        let mut origins = Vec::new();
        let mut stored: Option<MaskKind> = None;
        for entry in entries {
            if let (Some(schema), Some(table), Some(column)) =
                (&entry.schema, &entry.table, &entry.column)
                && let Some(kind) = plan.field(schema, table, column)
            {
                rules.extend(plan.rules_for_field(schema, table, column).cloned());
                origins.extend(entry.origin());
                stored = stored.into_iter().chain([kind]).min();
            }
        }
        let strictest = |stored| plan.label(label).into_iter().chain(stored).min();
        let itself = strictest(stored);
        let made = strictest(stored.map(|kind| kind.min(MaskKind::Redact)));
        let (sure, most) = match is_stored {
            Some(true) => (itself, itself),
            Some(false) => (made, made),
            None => (itself, made),
        };
        Self { rules: sorted(rules), origins, sure, most }
    }

    /// A field under the keys that lead to it. A rule names all of them or the last; one that names
    /// a key before it, or the last few, may have hidden it too.
    fn of_path(plan: &MaskPlan, path: &str) -> Self {
        let last = path.rsplit('.').next().unwrap_or_default();
        let names = [path, last];
        let dots = || path.match_indices('.').map(|(at, _)| path.split_at(at));
        let around = dots().flat_map(|(before, after)| {
            let key = before.rsplit('.').next().unwrap_or_default();
            [before, key, after.trim_start_matches('.')]
        });
        let kind =
            |names: &mut dyn Iterator<Item = &str>| names.filter_map(|name| plan.label(name)).min();
        let sure = kind(&mut names.into_iter());
        let most = kind(&mut names.into_iter().chain(around.clone()));
        let by = |name| plan.rules_for_label(name).cloned();
        let rules: Vec<Arc<str>> = match sure {
            Some(_) => names.into_iter().flat_map(by).collect(),
            None => around.flat_map(by).collect(),
        };
        Self { rules: sorted(rules), origins: Vec::new(), sure, most }
    }
}

fn sorted(mut rules: Vec<Arc<str>>) -> Vec<Arc<str>> {
    rules.sort_unstable();
    rules.dedup();
    rules
}

fn open(rule: &Arc<str>, fact: &str) -> Open {
    let facts = vec![fact.to_owned()];
    Open { rule: Arc::clone(rule), facts, fate: Fate::Passes, masks: true }
}
