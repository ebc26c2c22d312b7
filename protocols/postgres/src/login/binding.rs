//! The channel binding `tls-server-end-point`: a hash of the server's certificate.
//!
//! RFC 5929, section 4.1: the hash function of the certificate's own signature, except that MD5 and
//! SHA-1 are replaced by SHA-256. Undefined where the signature has no single hash function.

use aws_lc_rs::digest::{Algorithm, SHA224, SHA256, SHA384, SHA512, digest};

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
/// `[0]`, constructed: the hash algorithm in the parameters of RSASSA-PSS.
const HASH_ALGORITHM: u8 = 0xa0;

/// The binding of a certificate in DER; `None` where none is defined (Ed25519, unknown algorithms,
/// what is no certificate).
pub(super) fn tls_server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let algorithm = signature_hash(certificate)?;
    Some(digest(algorithm, certificate).as_ref().to_vec())
}

/// `Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signatureValue }` (RFC 5280).
fn signature_hash(certificate: &[u8]) -> Option<&'static Algorithm> {
    let (body, _) = element(certificate, SEQUENCE)?;
    let (_, rest) = element(body, SEQUENCE)?;
    let (algorithm, _) = element(rest, SEQUENCE)?;
    let (identifier, parameters) = element(algorithm, OBJECT_IDENTIFIER)?;
    match identifier {
        // RSASSA-PSS names its hash in its parameters; SHA-1 when it does not (RFC 4055, 3.1).
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a] => {
            let (parameters, _) = element(parameters, SEQUENCE)?;
            let Some((tagged, _)) = element(parameters, HASH_ALGORITHM) else {
                return Some(&SHA256);
            };
            let (hash, _) = element(tagged, SEQUENCE)?;
            named_hash(element(hash, OBJECT_IDENTIFIER)?.0)
        }
        // 1.2.840.113549.1.1.x: RSA with PKCS #1 v1.5.
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, hash] => match hash {
            4 | 5 | 11 => Some(&SHA256),
            12 => Some(&SHA384),
            13 => Some(&SHA512),
            14 => Some(&SHA224),
            _ => None,
        },
        // 1.2.840.10045.4.1: ECDSA with SHA-1; .4.3.x: with SHA-2.
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01] => Some(&SHA256),
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, hash] => match hash {
            1 => Some(&SHA224),
            2 => Some(&SHA256),
            3 => Some(&SHA384),
            4 => Some(&SHA512),
            _ => None,
        },
        _ => None,
    }
}

fn named_hash(identifier: &[u8]) -> Option<&'static Algorithm> {
    match identifier {
        // 1.3.14.3.2.26: SHA-1.
        [0x2b, 0x0e, 0x03, 0x02, 0x1a] => Some(&SHA256),
        // 2.16.840.1.101.3.4.2.x: SHA-2.
        [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, hash] => match hash {
            1 => Some(&SHA256),
            2 => Some(&SHA384),
            3 => Some(&SHA512),
            4 => Some(&SHA224),
            _ => None,
        },
        _ => None,
    }
}

/// The contents of the element at the start of `der`, if it has this tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&short, rest) = rest.split_first()?;
    if found != tag {
        return None;
    }
    if short < 0x80 {
        return rest.split_at_checked(usize::from(short));
    }
    let (long, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
    if long.is_empty() || long.len() > 4 {
        return None;
    }
    let length = long.iter().fold(0_usize, |sum, byte| (sum << 8) | usize::from(*byte));
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let body = parts.concat();
        let mut out = vec![tag];
        match body.len() {
            short @ 0..0x80 => out.push(short as u8),
            long => out.extend([0x82, (long >> 8) as u8, long as u8]),
        }
        out.extend(body);
        out
    }

    fn certificate(algorithm: &[u8], parameters: &[u8]) -> Vec<u8> {
        let algorithm = der(SEQUENCE, &[&der(OBJECT_IDENTIFIER, &[algorithm]), parameters]);
        der(SEQUENCE, &[&der(SEQUENCE, &[&[7; 300]]), &algorithm, &der(3, &[&[0; 64]])])
    }

    #[test]
    fn the_hash_is_that_of_the_certificates_signature() {
        let rsa = |last: u8| vec![0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, last];
        let ecdsa = |last: u8| vec![0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, last];
        let cases: [(Vec<u8>, &'static Algorithm); 11] = [
            (rsa(4), &SHA256),
            (rsa(5), &SHA256),
            (rsa(11), &SHA256),
            (rsa(12), &SHA384),
            (rsa(13), &SHA512),
            (rsa(14), &SHA224),
            (vec![0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01], &SHA256),
            (ecdsa(1), &SHA224),
            (ecdsa(2), &SHA256),
            (ecdsa(3), &SHA384),
            (ecdsa(4), &SHA512),
        ];
        for (identifier, algorithm) in cases {
            let certificate = certificate(&identifier, &[5, 0]);
            let wanted = digest(algorithm, &certificate).as_ref().to_vec();
            assert_eq!(tls_server_end_point(&certificate), Some(wanted), "{identifier:x?}");
        }
    }

    #[test]
    fn pss_names_its_hash_in_its_parameters() {
        let pss = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];
        let sha384 = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 2];
        let hash = der(SEQUENCE, &[&der(OBJECT_IDENTIFIER, &[&sha384])]);
        let parameters = der(SEQUENCE, &[&der(HASH_ALGORITHM, &[&hash])]);
        assert_eq!(signature_hash(&certificate(&pss, &parameters)), Some(&SHA384));
        let default = der(SEQUENCE, &[]);
        assert_eq!(signature_hash(&certificate(&pss, &default)), Some(&SHA256));
        assert_eq!(signature_hash(&certificate(&pss, &[])), None);
    }

    #[test]
    fn what_has_no_hash_has_no_binding() {
        // 1.3.101.112: Ed25519 (RFC 8410).
        assert_eq!(tls_server_end_point(&certificate(&[0x2b, 0x65, 0x70], &[])), None);
        let whole = certificate(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 2], &[]);
        for cut in 0..whole.len() {
            assert_eq!(tls_server_end_point(&whole[..cut]), None, "cut at {cut}");
        }
        assert_eq!(tls_server_end_point(&[0x30, 0x85, 1, 1, 1, 1, 1]), None);
        assert_eq!(tls_server_end_point(&[0x30, 0x80]), None);
    }
}
