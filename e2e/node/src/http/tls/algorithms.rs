//! The algorithms of a kubelet's TLS (Go 1.23, `crypto/tls/defaults.go` and `common.go`): ring's, and Go's additional ones. Main
//! function: [`provider`].

use std::sync::{Arc, LazyLock};

use aes::{
    Aes128, Aes256,
    cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, block_padding::NoPadding},
};
use hmac::{KeyInit, Mac};
use p521::{NistP521, PublicKey, SecretKey, ecdh::diffie_hellman, elliptic_curve::sec1::ToSec1Point};
use tokio_rustls::rustls::{
    CipherSuite, CipherSuiteCommon, ConnectionTrafficSecrets, ContentType, Error, NamedGroup, PeerMisbehaved,
    ProtocolVersion, SupportedCipherSuite, Tls12CipherSuite,
    crypto::{
        ActiveKeyExchange, CryptoProvider, GetRandomFailed, SharedSecret, SupportedKxGroup,
        cipher::{
            AeadKey, InboundOpaqueMessage, InboundPlainMessage, KeyBlockShape, MessageDecrypter, MessageEncrypter,
            OutboundOpaqueMessage, OutboundPlainMessage, PrefixedPayload, Tls12AeadAlgorithm,
            UnsupportedOperationError,
        },
        ring,
    },
};

/// ring's algorithms, then Go's others, in Go's order of preference.
pub(super) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        let mut provider = ring::default_provider();
        provider.cipher_suites.extend(CBC_SUITES.iter());
        provider.kx_groups.push(&P521);
        Arc::new(provider)
    });
    Arc::clone(&PROVIDER)
}

/// AES in CBC mode with HMAC-SHA-1 (RFC 5246, section 6.2.3.2); the MAC covers the plain text.
static CBC_SUITES: LazyLock<Vec<SupportedCipherSuite>> = LazyLock::new(|| {
    let of = |suite, model: SupportedCipherSuite, aead_alg: &'static Cbc| {
        let SupportedCipherSuite::Tls12(model) = model else { return None };
        let common =
            CipherSuiteCommon { suite, hash_provider: model.common.hash_provider, confidentiality_limit: u64::MAX };
        let suite =
            Tls12CipherSuite { common, prf_provider: model.prf_provider, kx: model.kx, sign: model.sign, aead_alg };
        // Static, like the others.
        Some(SupportedCipherSuite::Tls12(Box::leak(Box::new(suite))))
    };
    let (ecdsa, rsa) = (
        ring::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        ring::cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    );
    [
        of(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, ecdsa, &Cbc::Aes128),
        of(CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, rsa, &Cbc::Aes128),
        of(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, ecdsa, &Cbc::Aes256),
        of(CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA, rsa, &Cbc::Aes256),
    ]
    .into_iter()
    .flatten()
    .collect()
});

const BLOCK: usize = 16;
/// The length of HMAC-SHA-1.
const MAC: usize = 20;

#[derive(Debug, Clone, Copy)]
enum Cbc {
    Aes128,
    Aes256,
}

impl Tls12AeadAlgorithm for Cbc {
    fn encrypter(&self, key: AeadKey, iv: &[u8], _extra: &[u8]) -> Box<dyn MessageEncrypter> {
        Box::new(Keys::new(*self, &key, iv))
    }

    fn decrypter(&self, key: AeadKey, iv: &[u8]) -> Box<dyn MessageDecrypter> {
        Box::new(Keys::new(*self, &key, iv))
    }

    /// The key block has both MAC keys, then the cipher's keys (RFC 5246, section 6.3); rustls expects keys and initialisation
    /// vectors, which such a suite sends with each record.
    fn key_block_shape(&self) -> KeyBlockShape {
        let fixed_iv_len = match self {
            Self::Aes128 => 16,
            Self::Aes256 => 32,
        };
        KeyBlockShape { enc_key_len: MAC, fixed_iv_len, explicit_nonce_len: 0 }
    }

    fn extract_keys(
        &self,
        _key: AeadKey,
        _iv: &[u8],
        _explicit: &[u8],
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        Err(UnsupportedOperationError)
    }
}

/// The keys of one direction.
struct Keys {
    cipher: Cbc,
    mac: Vec<u8>,
    key: Vec<u8>,
}

impl Keys {
    fn new(cipher: Cbc, mac: &AeadKey, key: &[u8]) -> Self {
        Self { cipher, mac: mac.as_ref().to_vec(), key: key.to_vec() }
    }

    /// The MAC of a record (RFC 5246, section 6.2.3.1).
    fn mac(&self, seq: u64, typ: ContentType, version: ProtocolVersion, plain: &[u8]) -> Result<[u8; MAC], Error> {
        let mut mac = hmac::Hmac::<sha1::Sha1>::new_from_slice(&self.mac).map_err(|_| Error::EncryptError)?;
        let length = u16::try_from(plain.len()).map_err(|_| Error::EncryptError)?;
        mac.update(&seq.to_be_bytes());
        mac.update(&[u8::from(typ)]);
        mac.update(&u16::from(version).to_be_bytes());
        mac.update(&length.to_be_bytes());
        mac.update(plain);
        Ok(mac.finalize().into_bytes().into())
    }
}

impl MessageEncrypter for Keys {
    fn encrypt(&mut self, message: OutboundPlainMessage<'_>, seq: u64) -> Result<OutboundOpaqueMessage, Error> {
        let mut plain = message.payload.to_vec();
        let mac = self.mac(seq, message.typ, message.version, &plain)?;
        plain.extend_from_slice(&mac);
        // The padding and its length, up to a full block.
        let padding = BLOCK - 1 - plain.len() % BLOCK;
        plain.extend(std::iter::repeat_n(u8::try_from(padding).unwrap_or_default(), padding + 1));
        let mut iv = [0; BLOCK];
        getrandom::fill(&mut iv).map_err(|_| Error::FailedToGetRandomBytes)?;
        let count = plain.len();
        let encrypted = match self.cipher {
            Cbc::Aes128 => cbc::Encryptor::<Aes128>::new_from_slices(&self.key, &iv)
                .map(|cipher| cipher.encrypt_padded::<NoPadding>(&mut plain, count).map(drop)),
            Cbc::Aes256 => cbc::Encryptor::<Aes256>::new_from_slices(&self.key, &iv)
                .map(|cipher| cipher.encrypt_padded::<NoPadding>(&mut plain, count).map(drop)),
        };
        encrypted.map_err(|_| Error::EncryptError)?.map_err(|_| Error::EncryptError)?;
        let mut payload = PrefixedPayload::with_capacity(BLOCK + plain.len());
        payload.extend_from_slice(&iv);
        payload.extend_from_slice(&plain);
        Ok(OutboundOpaqueMessage::new(message.typ, message.version, payload))
    }

    fn encrypted_payload_len(&self, payload_len: usize) -> usize {
        BLOCK + (payload_len + MAC) / BLOCK * BLOCK + BLOCK
    }
}

impl MessageDecrypter for Keys {
    /// Errors return early: the timing reveals only a probe's answer, which is not secret.
    fn decrypt<'a>(
        &mut self,
        mut message: InboundOpaqueMessage<'a>,
        seq: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let (typ, version) = (message.typ, message.version);
        let (iv, records) = message.payload.split_at_mut_checked(BLOCK).ok_or(Error::DecryptError)?;
        let decrypted = match self.cipher {
            Cbc::Aes128 => cbc::Decryptor::<Aes128>::new_from_slices(&self.key, iv)
                .map(|cipher| cipher.decrypt_padded::<NoPadding>(records).map(drop)),
            Cbc::Aes256 => cbc::Decryptor::<Aes256>::new_from_slices(&self.key, iv)
                .map(|cipher| cipher.decrypt_padded::<NoPadding>(records).map(drop)),
        };
        decrypted.map_err(|_| Error::DecryptError)?.map_err(|_| Error::DecryptError)?;
        let padding = usize::from(*records.last().ok_or(Error::DecryptError)?);
        let count = records.len().checked_sub(padding + 1 + MAC).ok_or(Error::DecryptError)?;
        let (plain, rest) = records.split_at(count);
        let is_padded = rest[MAC..].iter().all(|byte| usize::from(*byte) == padding);
        if !is_padded || self.mac(seq, typ, version, plain)? != rest[..MAC] {
            return Err(Error::DecryptError);
        }
        Ok(message.into_plain_message_range(BLOCK..BLOCK + count))
    }
}

#[derive(Debug)]
struct P521;

impl SupportedKxGroup for P521 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        loop {
            let mut bytes = [0; 66];
            getrandom::fill(&mut bytes).map_err(|_| GetRandomFailed)?;
            // 521 bits; values not below the order are redrawn.
            bytes[0] &= 1;
            if let Ok(secret) = SecretKey::from_slice(&bytes) {
                let public = secret.public_key().to_sec1_point(false).as_bytes().to_vec();
                return Ok(Box::new(P521Exchange { secret, public }));
            }
        }
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::secp521r1
    }
}

struct P521Exchange {
    secret: p521::elliptic_curve::SecretKey<NistP521>,
    public: Vec<u8>,
}

impl ActiveKeyExchange for P521Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let peer = PublicKey::from_sec1_bytes(peer).map_err(|_| PeerMisbehaved::InvalidKeyShare)?;
        let shared = diffie_hellman(self.secret.to_nonzero_scalar(), peer.as_affine());
        Ok(SharedSecret::from(shared.raw_secret_bytes().as_slice()))
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::secp521r1
    }
}
