//! Vectors made with ring's keys: everything that must be refused, for both algorithms and both
//! routes.

use super::*;
use fusebox_domain::Environment;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};

const NOW_MS: u64 = 1_800_000_000_000;
const PRESENT: u8 = 0x01;
const PRESENT_AND_VERIFIED: u8 = 0x05;

enum SoftKey {
    Ed25519(Ed25519KeyPair),
    Es256(EcdsaKeyPair),
}

impl SoftKey {
    fn both() -> [Self; 2] {
        let rng = SystemRandom::new();
        let ed = Ed25519KeyPair::generate_pkcs8(&rng).unwrap();
        let alg = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let es = EcdsaKeyPair::generate_pkcs8(alg, &rng).unwrap();
        [
            Self::Ed25519(Ed25519KeyPair::from_pkcs8(ed.as_ref()).unwrap()),
            Self::Es256(EcdsaKeyPair::from_pkcs8(alg, es.as_ref(), &rng).unwrap()),
        ]
    }

    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ed25519(_) => Algorithm::Ed25519,
            Self::Es256(_) => Algorithm::Es256,
        }
    }

    fn enrolment(&self) -> Enrolment {
        let public = match self {
            Self::Ed25519(key) => key.public_key().as_ref().to_vec(),
            Self::Es256(key) => key.public_key().as_ref().to_vec(),
        };
        Enrolment {
            label: "blue".into(),
            application: Application::Fusebox,
            credential_id: CredentialId::new([7; 16]),
            public_key: PublicKey::new(self.algorithm(), public).unwrap(),
            aaguid: String::new(),
            counter: 10,
            uv: false,
            actions: vec![Action::Contain, Action::Rotate],
            device: "blue".into(),
            enrolled_ms: 0,
        }
    }

    /// Ed25519: raw; ES256: DER, as CTAP2 gives it.
    fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Ed25519(key) => key.sign(bytes).as_ref().to_vec(),
            Self::Es256(key) => key
                .sign(&SystemRandom::new(), bytes)
                .unwrap()
                .as_ref()
                .to_vec(),
        }
    }

    fn touch(&self, challenge: &Challenge, flags: u8, counter: u32) -> Assertion {
        self.touch_as(Application::Fusebox, challenge, flags, counter)
    }

    fn touch_as(
        &self,
        application: Application,
        challenge: &Challenge,
        flags: u8,
        counter: u32,
    ) -> Assertion {
        let auth_data = Assertion::auth_data(application, flags, counter);
        let signature = self.sign(&challenge.signed_bytes(&auth_data));
        let id = CredentialId::new([7; 16]);
        Assertion::from_ctap2(id, self.algorithm(), &auth_data, &signature).unwrap()
    }
}

fn plan() -> PlanHash {
    PlanHash::of(b"plan")
}

fn challenge(action: Action) -> Challenge {
    let requester = "operator uid 1000";
    Challenge::new("guard-1", action, plan(), Nonce([9; 32]), NOW_MS, requester)
}

fn policy() -> Policy<'static> {
    Policy {
        now_ms: NOW_MS + 5_000,
        environment: Environment::Mainnet,
        host_id: "guard-1",
        plan: plan(),
        nonce_spent: false,
    }
}

#[test]
fn a_touch_on_exactly_this_plan_is_verified_for_both_algorithms() {
    for key in SoftKey::both() {
        let challenge = challenge(Action::Contain);
        let assertion = key.touch(&challenge, PRESENT, 11);
        let verified = verify(&challenge, &key.enrolment(), &assertion, &policy()).unwrap();
        assert_eq!(
            (verified.counter(), verified.action()),
            (11, Action::Contain)
        );
        assert_eq!(verified.plan(), plan());
        assert!(!verified.user_verified());
    }
}

/// The SSH agent's answer: r and s as mpints, which drop leading zeros and add a sign byte.
#[test]
fn usb_and_agent_answers_become_the_same_assertion() {
    for key in SoftKey::both() {
        let challenge = challenge(Action::Contain);
        for counter in 11..60 {
            let usb = key.touch(&challenge, PRESENT, counter);
            let inner = match key.algorithm() {
                Algorithm::Ed25519 => usb.signature.clone(),
                Algorithm::Es256 => {
                    let (r, s) = usb.signature.split_at(32);
                    [mpint(r), mpint(s)].concat()
                }
            };
            let answer = agent_answer(key.algorithm(), &inner, PRESENT, counter);
            let id = CredentialId::new([7; 16]);
            let agent = Assertion::from_agent(id, Application::Fusebox, &answer).unwrap();
            assert_eq!(agent, usb);
            let verified = verify(&challenge, &key.enrolment(), &agent, &policy()).unwrap();
            assert_eq!(verified.counter(), counter);
        }
    }
}

fn agent_answer(algorithm: Algorithm, inner: &[u8], flags: u8, counter: u32) -> Vec<u8> {
    let mut out = ssh::Writer::default();
    out.str(algorithm.ssh_name().as_bytes());
    out.str(inner);
    out.u8(flags);
    out.raw(&counter.to_be_bytes());
    out.into_bytes()
}

fn mpint(unsigned: &[u8]) -> Vec<u8> {
    let first = unsigned.iter().position(|b| *b != 0).unwrap_or(32);
    let mut digits = unsigned[first..].to_vec();
    if digits.first().is_some_and(|b| *b >= 0x80) {
        digits.insert(0, 0);
    }
    let mut out = ssh::Writer::default();
    out.str(&digits);
    out.into_bytes()
}

/// Every refusal that comes from the question: one row each.
#[test]
fn a_wrong_question_is_refused_however_good_the_answer() {
    type Change = fn(&mut Challenge, &mut Policy<'static>);
    let table: [(&str, Change, Refusal); 6] = [
        ("replayed", |_, p| p.nonce_spent = true, Refusal::Replayed),
        (
            "expired",
            |_, p| p.now_ms = NOW_MS + 60_000,
            Refusal::Expired { late_ms: 0 },
        ),
        ("clock", |_, p| p.now_ms = NOW_MS - 1, Refusal::NotYet),
        (
            "other plan",
            |_, p| p.plan = PlanHash::of(b"other"),
            Refusal::OtherPlan,
        ),
        (
            "other host",
            |_, p| p.host_id = "guard-2",
            Refusal::OtherHost("guard-1".into()),
        ),
        ("version", |c, _| c.version = 2, Refusal::Version(2)),
    ];
    for key in SoftKey::both() {
        for (name, change, refusal) in &table {
            let (mut challenge, mut policy) = (challenge(Action::Contain), policy());
            change(&mut challenge, &mut policy);
            let assertion = key.touch(&challenge, PRESENT, 11);
            let answer = verify(&challenge, &key.enrolment(), &assertion, &policy);
            assert_eq!(answer.unwrap_err(), *refusal, "{name}");
        }
    }
}

/// Every refusal that comes from what the key says about itself.
#[test]
fn flags_counter_and_application_are_checked() {
    let table = [
        ("nobody there", 0x00, 11, Some(Refusal::NotPresent)),
        ("verified only", 0x04, 11, Some(Refusal::NotPresent)),
        ("attested data", 0x41, 11, Some(Refusal::ExtraData(0x41))),
        ("extensions", 0x81, 11, Some(Refusal::ExtraData(0x81))),
        (
            "lower",
            0x01,
            9,
            Some(Refusal::Counter { stored: 10, got: 9 }),
        ),
        (
            "equal",
            0x01,
            10,
            Some(Refusal::Counter {
                stored: 10,
                got: 10,
            }),
        ),
        (
            "zero after ten",
            0x01,
            0,
            Some(Refusal::Counter { stored: 10, got: 0 }),
        ),
        ("by two", 0x01, 12, None),
    ];
    for key in SoftKey::both() {
        let challenge = challenge(Action::Contain);
        for (name, flags, counter, refusal) in &table {
            let assertion = key.touch(&challenge, *flags, *counter);
            let answer = verify(&challenge, &key.enrolment(), &assertion, &policy());
            assert_eq!(answer.err(), *refusal, "{name}");
        }
        let other = key.touch_as(Application::Demo, &challenge, PRESENT, 11);
        assert_eq!(
            verify(&challenge, &key.enrolment(), &other, &policy()).unwrap_err(),
            Refusal::OtherApplication(Application::Fusebox)
        );
    }
}

#[test]
fn a_key_without_a_counter_says_zero_for_ever() {
    let [key, _] = SoftKey::both();
    let mut enrolment = key.enrolment();
    enrolment.counter = 0;
    let challenge = challenge(Action::Contain);
    let assertion = key.touch(&challenge, PRESENT, 0);
    assert_eq!(
        verify(&challenge, &enrolment, &assertion, &policy()).map(|v| v.counter()),
        Ok(0)
    );
}

#[test]
fn loosening_and_verify_required_credentials_need_the_pin() {
    let [key, _] = SoftKey::both();
    let mut enrolment = key.enrolment();
    let rotate = challenge(Action::Rotate);
    let touched = key.touch(&rotate, PRESENT, 11);
    let refusal = Refusal::NotVerified(Action::Rotate);
    assert_eq!(
        verify(&rotate, &enrolment, &touched, &policy()).unwrap_err(),
        refusal
    );
    let with_pin = key.touch(&rotate, PRESENT_AND_VERIFIED, 11);
    assert!(verify(&rotate, &enrolment, &with_pin, &policy()).is_ok_and(|v| v.user_verified()));

    enrolment.uv = true;
    let contain = challenge(Action::Contain);
    let touched = key.touch(&contain, PRESENT, 11);
    assert_eq!(
        verify(&contain, &enrolment, &touched, &policy()).unwrap_err(),
        Refusal::NotVerified(Action::Contain)
    );
}

#[test]
fn a_demo_key_is_worth_something_in_the_simulator_only() {
    let [key, _] = SoftKey::both();
    let mut enrolment = key.enrolment();
    enrolment.application = Application::Demo;
    let challenge = challenge(Action::Contain);
    let assertion = key.touch_as(Application::Demo, &challenge, PRESENT, 11);
    for (environment, accepted) in [
        (Environment::Sim, true),
        (Environment::Demo, false),
        (Environment::Testnet, false),
        (Environment::Mainnet, false),
    ] {
        let policy = Policy {
            environment,
            ..policy()
        };
        let answer = verify(&challenge, &enrolment, &assertion, &policy);
        assert_eq!(answer.is_ok(), accepted, "{environment}");
    }
}

#[test]
fn a_key_not_enrolled_for_the_action_is_refused() {
    let [key, _] = SoftKey::both();
    let total = challenge(Action::Total);
    let assertion = key.touch(&total, PRESENT, 11);
    assert!(matches!(
        verify(&total, &key.enrolment(), &assertion, &policy()),
        Err(Refusal::ActionNotAllowed { .. })
    ));
}

/// Flips every byte of the signed document's parts and of the signature.
#[test]
fn any_changed_byte_breaks_the_signature() {
    for key in SoftKey::both() {
        let challenge = challenge(Action::Contain);
        let good = key.touch(&challenge, PRESENT, 11);
        for at in 0..good.signature.len() {
            let mut bad = good.clone();
            bad.signature[at] ^= 1;
            assert_eq!(
                verify(&challenge, &key.enrolment(), &bad, &policy()).unwrap_err(),
                Refusal::Signature
            );
        }
        let changes: [fn(&mut Challenge); 4] = [
            |c| c.nonce.0[31] ^= 1,
            |c| c.issued_ms += 1,
            |c| c.expires_ms += 1,
            |c| c.requester.push('!'),
        ];
        for change in changes {
            let mut other = challenge.clone();
            change(&mut other);
            assert_eq!(
                verify(&other, &key.enrolment(), &good, &policy()).unwrap_err(),
                Refusal::Signature
            );
        }
        let mut short = good.clone();
        short.auth_data.pop();
        assert_eq!(
            verify(&challenge, &key.enrolment(), &short, &policy()).unwrap_err(),
            Refusal::AuthDataLength(36)
        );
        let mut stranger = good;
        stranger.credential_id = CredentialId::new([8; 16]);
        assert_eq!(
            verify(&challenge, &key.enrolment(), &stranger, &policy()).unwrap_err(),
            Refusal::OtherCredential
        );
    }
}

#[test]
fn the_same_touch_has_the_same_id_and_another_touch_another() {
    let [key, _] = SoftKey::both();
    let challenge = challenge(Action::Contain);
    let id = |counter| {
        let assertion = key.touch(&challenge, PRESENT, counter);
        *verify(&challenge, &key.enrolment(), &assertion, &policy())
            .unwrap()
            .touch_id()
    };
    assert_eq!(id(11), id(11));
    assert_ne!(id(11), id(12));
}

#[test]
fn broken_der_and_broken_agent_answers_are_errors_not_panics() {
    let [_, key] = SoftKey::both();
    let challenge = challenge(Action::Contain);
    let auth_data = Assertion::auth_data(Application::Fusebox, PRESENT, 11);
    let der = key.sign(&challenge.signed_bytes(&auth_data));
    let id = || CredentialId::new([7; 16]);
    for len in 0..der.len() {
        let cut = Assertion::from_ctap2(id(), Algorithm::Es256, &auth_data, &der[..len]);
        assert_eq!(cut, Err(AssertionError::Der));
    }
    let good = key.touch(&challenge, PRESENT, 11);
    let (r, s) = good.signature.split_at(32);
    let inner = [mpint(r), mpint(s)].concat();
    let answer = agent_answer(Algorithm::Es256, &inner, PRESENT, 11);
    for len in 0..answer.len() {
        let cut = Assertion::from_agent(id(), Application::Fusebox, &answer[..len]);
        assert_eq!(cut, Err(AssertionError::Agent));
    }
    let unknown = agent_answer(Algorithm::Ed25519, &[0; 64], 1, 1)
        .iter()
        .map(|b| if *b == b's' { b'x' } else { *b })
        .collect::<Vec<_>>();
    assert!(Assertion::from_agent(id(), Application::Fusebox, &unknown).is_err());
}

#[test]
fn an_agents_public_key_is_read_back_and_foreign_ones_are_refused() {
    for key in SoftKey::both() {
        let public = key.enrolment().public_key;
        let blob = public.to_ssh_blob(Application::Fusebox);
        assert_eq!(
            PublicKey::from_ssh_blob(&blob),
            Ok((public.clone(), Application::Fusebox))
        );
        let foreign = [&blob[..blob.len() - 11], b"ssh:other!!"].concat();
        assert_eq!(
            PublicKey::from_ssh_blob(&foreign),
            Err(EnrolmentError::Application)
        );
        let short = public.as_bytes()[1..].to_vec();
        assert_eq!(
            PublicKey::new(key.algorithm(), short),
            Err(EnrolmentError::Form)
        );
    }
}

#[test]
fn json_round_trips_and_rejects_nonsense() {
    let [_, key] = SoftKey::both();
    let challenge = challenge(Action::Contain);
    let assertion = key.touch(&challenge, PRESENT, 11);
    let text = serde_json::to_string(&(&challenge, &assertion, &key.enrolment())).unwrap();
    let back: (Challenge, Assertion, Enrolment) = serde_json::from_str(&text).unwrap();
    assert_eq!(back, (challenge, assertion, key.enrolment()));
    assert!(serde_json::from_str::<Nonce>("\"00\"").is_err());
    assert!(serde_json::from_str::<Application>("\"ssh:other\"").is_err());
}
