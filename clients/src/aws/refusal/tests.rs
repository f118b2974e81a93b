#![allow(clippy::unwrap_used)]

use super::*;

const CALL: Call<'_> = Call {
    action: "GetRecords",
    resource: "arn:aws:kinesis:eu-west-1:1:stream/s",
    region: "eu-west-1",
    keys: Keys::Given,
};

/// The words of an error that the user must mend.
fn mended(call: Call<'_>, code: &str) -> String {
    match call.sort(code, "secret words") {
        Refusal::Failed(ClientError::Config { what }) => what,
        other => panic!("{code}: {other:?}"),
    }
}

#[test]
fn what_must_be_mended_says_how() {
    let cases = [
        ("AccessDeniedException", "the IAM action kinesis:GetRecords on arn:aws:kinesis:eu-west-1:1:stream/s"),
        ("KMSAccessDeniedException", "kms:Decrypt"),
        ("KMSDisabledException", "enable it or bring it back"),
        ("ExpiredTokenException", "`session_token` has expired"),
        ("UnrecognizedClientException", "`aws_region`"),
        ("InvalidSignatureException", "the clock of this machine"),
    ];
    for (code, words) in cases {
        let what = mended(CALL, code);
        assert!(what.contains(words), "{code}: {what}");
        // The service quotes the signed request, its token included.
        assert!(!what.contains("secret words"), "{code}: {what}");
    }
    let writing = Call { action: "PutRecords", ..CALL };
    assert!(mended(writing, "KMSAccessDeniedException").contains("kms:GenerateDataKey"));
    let fixed = Call { keys: Keys::Fixed, ..CALL };
    assert!(mended(fixed, "ExpiredToken").contains("nothing renews them"));
}

#[test]
fn what_passes_is_tried_again() {
    for code in ["InternalFailure", "ServiceUnavailable", "SomethingNew"] {
        assert!(matches!(CALL.sort(code, ""), Refusal::Failed(ClientError::Retry { .. })), "{code}");
    }
    let renewed = Call { keys: Keys::Renewed, ..CALL };
    assert!(matches!(renewed.sort("ExpiredTokenException", ""), Refusal::Failed(ClientError::Retry { .. })));
    for code in ["ProvisionedThroughputExceededException", "LimitExceededException", "KMSThrottlingException"] {
        assert!(matches!(CALL.sort(code, ""), Refusal::Throttled), "{code}");
    }
    assert!(matches!(CALL.sort("ExpiredIteratorException", ""), Refusal::Expired));
}

#[test]
fn missing_credentials_are_told_from_an_unreachable_service() {
    let error = CALL.unanswered("dispatch failure: other: the credential provider was not enabled");
    assert!(matches!(&error, ClientError::Config { what } if what.contains("`access_key_id`")), "{error}");
    assert!(matches!(CALL.unanswered("dispatch failure: io error"), ClientError::Retry { .. }));
}
