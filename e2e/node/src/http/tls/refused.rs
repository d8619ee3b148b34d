//! What Go refuses in a server's certificate although a kubelet verifies none. Pure. Main function: [`refusal`].

use der::{Decode, Reader, SliceReader, Tagged, asn1::AnyRef};
use e2e_kubelet::profile::Tolerance;

/// `defaultMaxRSAKeySize` in crypto/tls/handshake_client.go.
const MAX_RSA_BITS: usize = 8192;
/// The identifiers of RSA keys, 1.2.840.113549.1.1.1, and of alternative names, 2.5.29.17.
const RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
const ALTERNATIVE_NAMES: &[u8] = b"\x55\x1d\x11";

const MALFORMED: &str = "malformed certificate";

/// Go's reason to refuse a certificate (`verifyServerCertificate` in crypto/tls/handshake_client.go), without the leading `tls: `.
pub(super) fn refusal(certificate: &[u8], tolerance: Tolerance) -> Option<String> {
    match rsa_bits(certificate, tolerance) {
        Err(text) => Some(format!("failed to parse certificate from server: x509: {text}")),
        Ok(bits) if bits > MAX_RSA_BITS && !tolerance.long_rsa_key => {
            Some(format!("server sent certificate containing RSA key larger than {MAX_RSA_BITS} bits"))
        }
        Ok(_) => None,
    }
}

/// The length of the certificate's RSA key, or 0 for another key (`parseCertificate` in crypto/x509/parser.go, as far as servers in use
/// violate it).
fn rsa_bits(certificate: &[u8], tolerance: Tolerance) -> Result<usize, String> {
    let fields = elements(first(first(certificate)?)?)?;
    // The version may be absent.
    let fields = &fields[usize::from(fields.first().and_then(own_number) == Some(0))..];
    let [serial, _, _, _, _, key, others @ ..] = fields else { return Err(MALFORMED.to_owned()) };
    if is_negative(serial.value()) && !tolerance.negative_serial {
        return Err("negative serial number".to_owned());
    }
    let bits = bits_of_key(key.value())?;
    for extensions in others.iter().filter(|field| own_number(field) == Some(3)) {
        for extension in elements(first(extensions.value())?)? {
            if let [id, .., names] = &elements(extension.value())?[..]
                && id.value() == ALTERNATIVE_NAMES
            {
                elements(first(names.value())?)?.into_iter().try_for_each(check_name)?;
            }
        }
    }
    Ok(bits)
}

fn bits_of_key(key: &[u8]) -> Result<usize, String> {
    let [algorithm, bits] = elements(key)?[..] else { return Err(MALFORMED.to_owned()) };
    if first(algorithm.value())? != RSA {
        return Ok(0);
    }
    // A bit string begins with the number of bits that it does not use.
    let [modulus, exponent, ..] = elements(first(bits.value().get(1..).unwrap_or_default())?)?[..] else {
        return Err("invalid RSA public key".to_owned());
    };
    let (modulus, exponent) = (modulus.value(), exponent.value());
    for (number, name) in [(modulus, "modulus"), (exponent, "public exponent")] {
        if is_negative(number) || number.iter().all(|&byte| byte == 0) {
            return Err(format!("RSA {name} is not a positive number"));
        }
    }
    let zeros = modulus.iter().take_while(|&&byte| byte == 0).count();
    Ok((modulus.len() - zeros) * 8 - modulus[zeros].leading_zeros() as usize)
}

/// `parseSANExtension`, without the syntax of a URI.
fn check_name(name: AnyRef<'_>) -> Result<(), String> {
    let (number, name) = (own_number(&name), name.value());
    let ascii = |kind: &str| if name.is_ascii() { Ok(()) } else { Err(format!("SAN {kind} is malformed")) };
    match number {
        Some(1) => ascii("rfc822Name"),
        Some(2) => ascii("dNSName"),
        Some(6) => ascii("uniformResourceIdentifier"),
        Some(7) if !matches!(name.len(), 4 | 16) => Err(format!("cannot parse IP address of length {}", name.len())),
        _ => Ok(()),
    }
}

/// The number of a tag that has its meaning from where it stands.
fn own_number(element: &AnyRef<'_>) -> Option<u32> {
    let tag = element.tag();
    tag.is_context_specific().then(|| tag.number().value())
}

fn is_negative(number: &[u8]) -> bool {
    number.first().is_some_and(|byte| byte & 0x80 != 0)
}

/// The content of the first element.
fn first(bytes: &[u8]) -> Result<&[u8], String> {
    elements(bytes)?.first().map(|element| element.value()).ok_or_else(|| MALFORMED.to_owned())
}

/// The elements that bytes of DER hold.
fn elements(bytes: &[u8]) -> Result<Vec<AnyRef<'_>>, String> {
    let mut elements = Vec::new();
    let mut read = || -> der::Result<()> {
        let mut reader = SliceReader::new(bytes)?;
        while !reader.is_finished() {
            elements.push(AnyRef::decode(&mut reader)?);
        }
        Ok(())
    };
    read().map_err(|_| MALFORMED.to_owned())?;
    Ok(elements)
}

#[cfg(test)]
mod tests {
    use e2e_kubelet::profile::Profile;
    use rstest::rstest;

    use super::*;

    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let [high, low] = u16::try_from(content.len()).expect("a short element").to_be_bytes();
        // The shortest form, which DER demands.
        let length: &[u8] = match (high, low) {
            (0, 0..0x80) => &[low],
            (0, _) => &[0x81, low],
            _ => &[0x82, high, low],
        };
        [&[tag], length, &content].concat()
    }

    /// With one alternative name, and with blank names and times.
    fn certificate(serial: &[u8], modulus: &[u8], name: (u8, &[u8])) -> Vec<u8> {
        let sequence = |parts: &[&[u8]]| der(0x30, parts);
        let numbers = sequence(&[&der(2, &[modulus]), &der(2, &[b"\x01\x00\x01"])]);
        let algorithm = sequence(&[&der(6, &[RSA]), &der(5, &[])]);
        let key = sequence(&[&algorithm, &der(3, &[&[0], &numbers])]);
        let names = der(4, &[&sequence(&[&der(name.0, &[name.1])])]);
        let extensions = der(0xa3, &[&sequence(&[&sequence(&[&der(6, &[ALTERNATIVE_NAMES]), &names])])]);
        let (version, serial, blank) = (der(0xa0, &[&der(2, &[&[2]])]), der(2, &[serial]), sequence(&[]));
        let fields = sequence(&[&version, &serial, &blank, &blank, &blank, &blank, &key, &extensions]);
        sequence(&[&fields, &algorithm, &der(3, &[&[0]])])
    }

    const KEY: &[u8] = &[0x7f; 256];
    const NAME: &[u8] = b"localhost";

    #[rstest]
    #[case::right(&[5], KEY, 0x82, NAME, None)]
    #[case::negative_serial(&[0xfb], KEY, 0x82, NAME, Some("failed to parse certificate from server: x509: negative serial number"))]
    #[case::long_key(&[5], &[0x7f; 1025], 0x82, NAME, Some("server sent certificate containing RSA key larger than 8192 bits"))]
    #[case::longest_key(&[5], &[&[0], [0xff; 1024].as_slice()].concat(), 0x82, NAME, None)]
    #[case::negative_key(&[5], &[0xff; 256], 0x82, NAME, Some("failed to parse certificate from server: x509: RSA modulus is not a positive number"))]
    #[case::dns_name(&[5], KEY, 0x82, "b\u{fc}cher.example".as_bytes(), Some("failed to parse certificate from server: x509: SAN dNSName is malformed"))]
    #[case::email(&[5], KEY, 0x81, &[0xe4], Some("failed to parse certificate from server: x509: SAN rfc822Name is malformed"))]
    #[case::address(&[5], KEY, 0x87, &[10, 0, 1], Some("failed to parse certificate from server: x509: cannot parse IP address of length 3"))]
    #[case::ipv6(&[5], KEY, 0x87, &[1; 16], None)]
    fn certificates_are_refused_in_go_s_words(
        #[case] serial: &[u8],
        #[case] modulus: &[u8],
        #[case] tag: u8,
        #[case] name: &[u8],
        #[case] says: Option<&str>,
    ) {
        assert_eq!(refusal(&certificate(serial, modulus, (tag, name)), Tolerance::CURRENT).as_deref(), says);
    }

    #[test]
    fn older_kubelets_accept_more() {
        let refuses =
            |version: &str, certificate: &[u8]| refusal(certificate, Profile::of_version(version).tolerance).is_some();
        let negative = certificate(&[0xfb], KEY, (0x82, NAME));
        assert_eq!(["1.31", "1.32"].map(|version| refuses(version, &negative)), [false, true]);
        let long = certificate(&[5], &[0x7f; 1025], (0x82, NAME));
        assert_eq!(["1.27", "1.28"].map(|version| refuses(version, &long)), [false, true]);
    }

    #[test]
    fn a_certificate_that_is_cut_off_is_refused() {
        let whole = certificate(&[5], KEY, (0x82, NAME));
        assert!((1..whole.len()).all(|end| refusal(&whole[..end], Tolerance::CURRENT).is_some()));
    }
}
