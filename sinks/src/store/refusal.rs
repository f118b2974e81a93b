//! Why a store said no, in words that tell what to do.
//!
//! The one idea: a cloud's "forbidden" names no permission, but it is known what was asked for.

use std::error::Error;

use object_store::Error as StoreError;
use watershed_clients::{ClientError, error_chain};

use super::Cloud;

/// What a store was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// To store an object, or a part of one.
    Write,
    /// To read an object, or what it is like.
    Read,
    /// To list objects.
    List,
    /// To remove an object.
    Delete,
    /// To list unfinished uploads.
    ListUploads,
    /// To forget an unfinished upload.
    Abort,
    /// To say where the bucket lies.
    Locate,
}

/// What only the user can mend, and how; none if it may be passing trouble.
pub fn refusal(error: &(dyn Error + 'static), cloud: Cloud, deed: Deed) -> Option<String> {
    if let Some(why) = no_keys(error) {
        return Some(why);
    }
    if cloud == Cloud::S3 && is_in_another_region(error) {
        return Some("the bucket lies in another region than requests go to; mend `aws_region`".to_owned());
    }
    Some(match status(error)? {
        401 => "the credentials are not accepted; renew them, or give others".to_owned(),
        403 => {
            let why = match code(error) {
                Some(code) => format!(" ({code})"),
                None => String::new(),
            };
            format!("permission denied{why}; allow {}, or check the credentials", permission(cloud, deed))
        }
        404 => match cloud {
            Cloud::Azure => "there is no such container, or no such account; make it, or mend the url".to_owned(),
            Cloud::S3 | Cloud::Google => "there is no such bucket; make it, or mend the url".to_owned(),
        },
        _ => return None,
    })
}

/// What has to be allowed.
fn permission(cloud: Cloud, deed: Deed) -> &'static str {
    match (cloud, deed) {
        (Cloud::S3, Deed::Write) => {
            "s3:PutObject (and of the key, where there is one, kms:GenerateDataKey and kms:Decrypt)"
        }
        (Cloud::S3, Deed::Read) => "s3:GetObject",
        (Cloud::S3, Deed::List | Deed::Locate) => "s3:ListBucket",
        (Cloud::S3, Deed::Delete) => "s3:DeleteObject",
        (Cloud::S3, Deed::ListUploads) => "s3:ListBucketMultipartUploads",
        (Cloud::S3, Deed::Abort) => "s3:AbortMultipartUpload",
        (Cloud::Azure, Deed::Write) => "Microsoft.Storage/…/blobs/write (role Storage Blob Data Contributor)",
        (Cloud::Azure, Deed::Read | Deed::List | Deed::ListUploads | Deed::Locate) => {
            "Microsoft.Storage/…/blobs/read (role Storage Blob Data Contributor)"
        }
        (Cloud::Azure, Deed::Delete | Deed::Abort) => {
            "Microsoft.Storage/…/blobs/delete (role Storage Blob Data Contributor)"
        }
        (Cloud::Google, Deed::Write) => "storage.objects.create",
        (Cloud::Google, Deed::Read) => "storage.objects.get",
        (Cloud::Google, Deed::List) => "storage.objects.list",
        (Cloud::Google, Deed::Delete) => "storage.objects.delete",
        (Cloud::Google, Deed::ListUploads) => "storage.multipartUploads.list",
        (Cloud::Google, Deed::Abort) => "storage.multipartUploads.abort",
        (Cloud::Google, Deed::Locate) => "storage.buckets.get (as role Storage Legacy Bucket Reader has it)",
    }
}

/// The status that a cloud answered, where only the user can mend it.
fn status(error: &(dyn Error + 'static)) -> Option<u16> {
    for error in error_chain(error) {
        match error.downcast_ref() {
            Some(StoreError::PermissionDenied { .. }) => return Some(403),
            Some(StoreError::Unauthenticated { .. }) => return Some(401),
            Some(StoreError::NotFound { .. }) => return Some(404),
            // With listings and removals the kind is lost: only the text tells.
            Some(error @ StoreError::Generic { .. }) => {
                let text = error.to_string();
                if let Some((_, status)) = text.split_once("non-2xx status code: ") {
                    return status.get(..3)?.parse().ok();
                }
                // S3 and Azure are asked to remove many at once, and say yes to that, and no to each.
                if text.contains("(code: AccessDenied)") || text.contains("(code: 403)") {
                    return Some(403);
                }
            }
            _ => {}
        }
    }
    None
}

/// Why there are no keys to ask with.
fn no_keys(error: &(dyn Error + 'static)) -> Option<String> {
    error_chain(error).find_map(|error| match error.downcast_ref() {
        Some(ClientError::Config { what }) => Some(what.clone()),
        _ => None,
    })
}

/// Whether S3 sends whoever asks to another region: by a redirect without an address, or as the signature is for the wrong one.
fn is_in_another_region(error: &(dyn Error + 'static)) -> bool {
    let text = error.to_string();
    ["redirect without LOCATION", "<Code>PermanentRedirect<", "<Code>AuthorizationHeaderMalformed<"]
        .iter()
        .any(|part| text.contains(part))
}

/// The cloud's own word for it, such as `InvalidAccessKeyId`.
fn code(error: &(dyn Error + 'static)) -> Option<String> {
    let text = error.to_string();
    let quoted = |before: &str, behind: &str| Some(text.split_once(before)?.1.split_once(behind)?.0);
    let code = quoted("<Code>", "</Code>").or_else(|| quoted("(code: ", ")"))?;
    let plain = !code.is_empty() && code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    plain.then(|| code.to_owned())
}
