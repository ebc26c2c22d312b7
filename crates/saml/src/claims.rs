//! From what a signed assertion says to who signed in.

use model::text::is_unseen;

use crate::answer::{NO_TEXT, Proved};
use crate::fault::{Fault, clipped};
use crate::plan::{ProviderPlan, SubjectFrom};

/// Longest subject or group, characters; as for tokens.
const NAME_CHARS_MAX: usize = 256;
/// Groups of one person.
const GROUPS_MAX: usize = 256;
const TRANSIENT: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient";

/// Who it is.
pub(crate) fn subject(plan: &ProviderPlan, proved: &Proved) -> Result<String, Fault> {
    let (what, found) = match &plan.subject {
        SubjectFrom::NameId => {
            let name = proved.name_id.as_ref().ok_or(Fault::Missing("NameID"))?;
            if name.format == TRANSIENT {
                let why = "transient, so it names nobody the next time; have the provider send \
                           another, or set subject to an attribute";
                return Err(Fault::Claim("NameID".to_owned(), why));
            }
            ("NameID", &name.value)
        }
        SubjectFrom::Attribute(attribute) => {
            let wrong = |why| Fault::Claim(format!("attribute {:?}", clipped(attribute)), why);
            let values: Vec<&String> = values(proved, attribute).collect();
            match values.as_slice() {
                [] => return Err(wrong("missing")),
                [only] => (&**attribute, *only),
                _ => return Err(wrong("more than one value, so it names nobody")),
            }
        }
    };
    named(&plan.subject_prefix, found).map_err(|why| Fault::Claim(clipped(what), why))
}

/// Their groups. None is a list, too; but one that cannot be read whole refuses the sign-in,
/// because masks may hang on the groups that are missing.
pub(crate) fn groups(plan: &ProviderPlan, proved: &Proved) -> Result<Vec<String>, Fault> {
    let wrong = |why| Fault::Claim(format!("attribute {:?}", clipped(&plan.groups_attribute)), why);
    let listed: Vec<&String> = values(proved, &plan.groups_attribute).collect();
    if listed.len() > GROUPS_MAX {
        return Err(wrong("a list of more than 256 groups"));
    }
    let mut groups: Vec<String> = listed
        .into_iter()
        .map(|group| named(&plan.groups_prefix, group))
        .collect::<Result<_, _>>()
        .map_err(wrong)?;
    groups.extend(plan.groups.iter().cloned());
    groups.sort_unstable();
    groups.dedup();
    Ok(groups)
}

fn values<'a>(proved: &'a Proved, name: &'a str) -> impl Iterator<Item = &'a String> {
    let those = proved.attributes.iter().filter(move |(found, _)| found == name);
    those.flat_map(|(_, values)| values)
}

fn named(prefix: &str, name: &str) -> Result<String, &'static str> {
    let whole = format!("{prefix}{name}");
    match name {
        NO_TEXT => Err("not a text"),
        "" => Err("empty"),
        _ if whole.chars().any(is_unseen) => Err("a text with letters that are not seen"),
        _ if name.trim() != name => Err("a text with space at an end"),
        _ if whole.chars().nth(NAME_CHARS_MAX).is_some() => Err("longer than 256 characters"),
        _ => Ok(whole),
    }
}
