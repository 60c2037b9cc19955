//! `DataTransfer` (OCPP 1.6 §4.3 and §5.6): a vendor's own message, in either direction.

use serde::{Deserialize, Serialize};

use super::{Action, Call};
use crate::ocpp::{Notes, Payload, Text};

enumeration! {
    /// `DataTransferStatus` (§7.13).
    DataTransferStatus {
        /// Understood.
        Accepted = "Accepted",
        /// Understood and refused.
        Rejected = "Rejected",
        /// The vendor is known, the message is not.
        UnknownMessageId = "UnknownMessageId",
        /// The vendor is not known.
        UnknownVendorId = "UnknownVendorId",
    }
}

/// The message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request<'a> {
    /// Who gives the message its meaning, at most 255 characters.
    #[serde(borrow)]
    pub vendor_id: Text<'a>,
    /// Which message, at most 50 characters.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<Text<'a>>,
    /// Its content.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub data: Option<Text<'a>>,
}

impl<'a> Payload<'a> for Request<'a> {
    fn note(&self, notes: &mut Notes) {
        notes.text("vendorId", &self.vendor_id, 255);
        notes.optional_text("messageId", &self.message_id, 50);
        if let Some(text) = &self.data {
            notes.free_text(text);
        }
    }
}

impl<'a> Call<'a> for Request<'a> {
    const ACTION: Action = Action::DataTransfer;
    type Response<'r> = Response<'r>;
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Response<'a> {
    /// What became of it.
    #[serde(borrow)]
    pub status: DataTransferStatus<'a>,
    /// Content of the answer.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub data: Option<Text<'a>>,
}

impl<'a> Payload<'a> for Response<'a> {
    fn note(&self, notes: &mut Notes) {
        notes.value(&self.status);
        if let Some(text) = &self.data {
            notes.free_text(text);
        }
    }
}
