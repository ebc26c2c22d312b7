//! The part of XML that answers of identity providers are written in, checked before any parser
//! sees one.
//!
//! Elements, attributes, text, the five entities that every document has, and character
//! references: nothing else. Document types and entities are how parsers are made to read files or
//! to grow without bound. Comments, CDATA and processing instructions are how two readers of one
//! text come to see two texts: `admin<!-- -->@evil.example` is one name to a digest, which leaves
//! comments out, and another to who reads the first piece of text only. No provider writes them.

use crate::fault::Fault;

/// Longest document, bytes.
pub(crate) const DOCUMENT_BYTES_MAX: usize = 256 * 1024;
/// Elements inside of each other.
const DEPTH_MAX: usize = 32;
/// Attributes and namespaces of one element.
const ATTRIBUTES_MAX: usize = 64;

/// The document after its XML declaration, if it is plain.
///
/// # Errors
/// It is too large or too deep, or holds what has no place in it.
pub(crate) fn plain(document: &[u8]) -> Result<&str, Fault> {
    if document.len() > DOCUMENT_BYTES_MAX {
        return Err(Fault::Large(DOCUMENT_BYTES_MAX / 1024));
    }
    let text = std::str::from_utf8(document).map_err(|_| Fault::NotPlain("bytes beyond UTF-8"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim_ascii();
    let text = undeclared(text)?;
    if text.bytes().any(|byte| byte < b' ' && !b"\t\r\n".contains(&byte)) {
        return Err(Fault::NotPlain("control characters"));
    }
    let mut rest = text;
    let mut depth = 0_usize;
    while let Some(at) = rest.find('<') {
        let tag = rest.get(at + 1..).unwrap_or_default();
        let end = match tag.as_bytes().first() {
            Some(b'!') => return Err(Fault::NotPlain(marked(tag))),
            Some(b'?') => return Err(Fault::NotPlain("a processing instruction")),
            Some(b'/') => {
                depth = depth.saturating_sub(1);
                tag.find('>')
            }
            _ => {
                let end = end_of(tag)?;
                let closed = end.is_some_and(|end| tag.get(..end).is_some_and(ends_itself));
                depth += usize::from(!closed);
                end
            }
        };
        if depth > DEPTH_MAX {
            return Err(Fault::NotPlain("more than 32 elements inside of each other"));
        }
        let Some(end) = end else { return Err(Fault::Malformed("a tag has no end".to_owned())) };
        rest = tag.get(end + 1..).unwrap_or_default();
    }
    Ok(text)
}

/// The text after `<?xml …?>`, which may say what is assumed anyway and nothing else.
fn undeclared(text: &str) -> Result<&str, Fault> {
    let Some(inside) = text.strip_prefix("<?xml") else { return Ok(text) };
    let (said, rest) =
        inside.split_once("?>").ok_or(Fault::NotPlain("an XML declaration without an end"))?;
    for part in said.split_ascii_whitespace() {
        let fine = match part.split_once('=') {
            Some(("version", value)) => ["\"1.0\"", "'1.0'"].contains(&value),
            Some(("encoding", value)) => {
                ["\"utf-8\"", "'utf-8'"].contains(&&*value.to_ascii_lowercase())
            }
            Some(("standalone", value)) => ["\"yes\"", "'yes'", "\"no\"", "'no'"].contains(&value),
            _ => false,
        };
        if !fine {
            return Err(Fault::NotPlain("an XML declaration of another version or encoding"));
        }
    }
    Ok(rest.trim_ascii_start())
}

fn marked(tag: &str) -> &'static str {
    if tag.starts_with("!--") {
        "a comment"
    } else if tag.starts_with("![CDATA[") {
        "a CDATA section"
    } else {
        "a document type or an entity"
    }
}

fn ends_itself(tag: &str) -> bool {
    tag.ends_with('/')
}

/// Where a tag ends that begins an element: at the first `>` outside of quotes.
fn end_of(tag: &str) -> Result<Option<usize>, Fault> {
    let mut quote = None;
    let mut values = 0_usize;
    for (at, byte) in tag.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Ok(Some(at)),
            (None, b'"' | b'\'') => {
                quote = Some(byte);
                values += 1;
                if values > ATTRIBUTES_MAX {
                    return Err(Fault::NotPlain("an element of more than 64 attributes"));
                }
            }
            (Some(open), _) if open == byte => quote = None,
            (_, b'<') => return Err(Fault::Malformed("there is < inside a tag".to_owned())),
            _ => {}
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(document: &str) -> String {
        plain(document.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn elements_attributes_and_text_are_plain() {
        for document in [
            "<a/>",
            "<a b='1' c=\"x>y\"><b>text &amp; more &#65;</b></a>",
            "\u{feff}<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<a/>",
            "<?xml version='1.0' encoding='utf-8' standalone='no'?><a/>",
        ] {
            assert!(plain(document.as_bytes()).unwrap().starts_with("<a"), "{document}");
        }
    }

    #[test]
    fn everything_else_is_named_and_refused() {
        for (document, named) in [
            ("<a>x<!-- c -->y</a>", "a comment"),
            ("<a><![CDATA[x]]></a>", "a CDATA section"),
            ("<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>", "document type"),
            ("<a><?php x ?></a>", "a processing instruction"),
            ("<a/><?xml version='1.0'?>", "a processing instruction"),
            ("<?xml version='1.1'?><a/>", "another version or encoding"),
            ("<?xml version='1.0' encoding='utf-7'?><a/>", "another version or encoding"),
            ("<a>\u{0}</a>", "control characters"),
            ("<a b='<'/>", "< inside a tag"),
            ("<a", "a tag has no end"),
        ] {
            assert!(refused(document).contains(named), "{document}: {}", refused(document));
        }
        assert!(plain(b"<a>\xff</a>").unwrap_err().to_string().contains("UTF-8"));
    }

    #[test]
    fn size_depth_and_attributes_are_bounded_at_their_limits() {
        let deep = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
        assert!(plain(deep(DEPTH_MAX).as_bytes()).is_ok());
        assert!(refused(&deep(DEPTH_MAX + 1)).contains("32 elements"));
        let wide = |count: usize| format!("<a{}/>", " b=''".repeat(count));
        assert!(plain(wide(ATTRIBUTES_MAX).as_bytes()).is_ok());
        assert!(refused(&wide(ATTRIBUTES_MAX + 1)).contains("64 attributes"));
        let long = |bytes: usize| format!("<a>{}</a>", "x".repeat(bytes - 7));
        assert!(plain(long(DOCUMENT_BYTES_MAX).as_bytes()).is_ok());
        assert!(refused(&long(DOCUMENT_BYTES_MAX + 1)).contains("256 KiB"));
    }
}
