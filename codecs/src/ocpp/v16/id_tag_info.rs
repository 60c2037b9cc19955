//! `IdTagInfo` (OCPP 1.6 §7.28): what the central system thinks of an idTag.

use serde::{Deserialize, Serialize};

use crate::ocpp::{Note, Notes, Text, Timestamp};

enumeration! {
    /// `AuthorizationStatus` (§7.2).
    AuthorizationStatus {
        /// May charge.
        Accepted = "Accepted",
        /// Is blocked.
        Blocked = "Blocked",
        /// Has expired.
        Expired = "Expired",
        /// Is unknown.
        Invalid = "Invalid",
        /// Charges elsewhere already.
        ConcurrentTx = "ConcurrentTx",
    }
}

/// What the central system thinks of an idTag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdTagInfo<'a> {
    /// The verdict.
    #[serde(borrow)]
    pub status: AuthorizationStatus<'a>,
    /// When the charge point should forget it; absent: never.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub expiry_date: Option<Timestamp<'a>>,
    /// The group: whoever shows a tag of the same group may stop the transaction. At most 20 characters.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub parent_id_tag: Option<Text<'a>>,
}

impl IdTagInfo<'_> {
    /// A verdict and nothing else.
    pub const fn new(status: AuthorizationStatus<'_>) -> IdTagInfo<'_> {
        IdTagInfo { status, expiry_date: None, parent_id_tag: None }
    }
}

impl Note for IdTagInfo<'_> {
    fn note(&self, notes: &mut Notes) {
        notes.value(&self.status);
        notes.value(&self.expiry_date);
        notes.optional_text("parentIdTag", &self.parent_id_tag, 20);
    }
}
