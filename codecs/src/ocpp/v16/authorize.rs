//! `Authorize` (OCPP 1.6 §4.1): may this idTag charge?

use serde::{Deserialize, Serialize};

use super::{Action, Call, IdTagInfo};
use crate::ocpp::{Notes, Payload, Text};

/// Asks for a verdict on a tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request<'a> {
    /// The tag, at most 20 characters.
    #[serde(borrow)]
    pub id_tag: Text<'a>,
}

impl<'a> Payload<'a> for Request<'a> {
    fn note(&self, notes: &mut Notes) {
        notes.text("idTag", &self.id_tag, 20);
    }
}

impl<'a> Call<'a> for Request<'a> {
    const ACTION: Action = Action::Authorize;
    type Response<'r> = Response<'r>;
}

/// The verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Response<'a> {
    /// The verdict.
    #[serde(borrow)]
    pub id_tag_info: IdTagInfo<'a>,
}

impl<'a> Payload<'a> for Response<'a> {
    fn note(&self, notes: &mut Notes) {
        notes.value(&self.id_tag_info);
    }
}
