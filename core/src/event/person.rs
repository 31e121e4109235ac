//! Who it was, and how a device knows.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Group, PrivateText, members};
use crate::{Timestamp, codec};

members! {
    /// Who it was.
    pub struct Person<'a> {
        /// The person, card, dossier or profile id; absent for a stranger.
        #[serde(serialize_with = "codec::revealed_option")]
        id: Option<PrivateText<'a>>,
        /// Name.
        #[serde(serialize_with = "codec::revealed_option")]
        name: Option<PrivateText<'a>>,
        /// What he is to the site.
        category: Option<Category>,
        /// Groups, watch lists, profile groups that he is in.
        groups: Vec<Group<'a>>,
        /// Number of the access card.
        #[serde(serialize_with = "codec::revealed_option")]
        card_number: Option<PrivateText<'a>>,
        /// Number at the employer.
        #[serde(serialize_with = "codec::revealed_option")]
        job_number: Option<PrivateText<'a>>,
        /// Number of the identity card.
        #[serde(serialize_with = "codec::revealed_option")]
        id_number: Option<PrivateText<'a>>,
        /// A remark on him.
        #[serde(serialize_with = "codec::revealed_option")]
        remark: Option<PrivateText<'a>>,
        /// From when a visitor may enter.
        valid_from: Option<Timestamp>,
        /// Until when.
        valid_until: Option<Timestamp>,
    }
}

/// What a person is to the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "PersonCategory")]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// Works here.
    Employee,
    /// Visits.
    Visitor,
    /// To be welcomed.
    Vip,
    /// Not to be let in.
    Blocklisted,
    /// Compared, and nobody known.
    Stranger,
    /// Known, but the vendor does not say what he is.
    Known,
}

members! {
    /// The comparison with known persons.
    pub struct Match<'a> {
        /// Absent when nobody compared.
        status: Option<MatchStatus>,
        /// Similarity to the best candidate.
        #[schemars(range(min = 0, max = 1))]
        score: Option<f64>,
        /// All that the vendor sent, best first; the best is also `person`.
        candidates: Vec<Candidate<'a>>,
    }
}

/// The result of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MatchStatus {
    /// Somebody known.
    Matched,
    /// Nobody known.
    Unmatched,
}

/// Somebody who it may have been.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Candidate<'a> {
    /// Who.
    pub person: Person<'a>,
    /// Similarity.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub score: Option<f64>,
}
