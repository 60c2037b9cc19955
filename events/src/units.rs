//! Integers with their unit in the type. No float carries energy, price or money anywhere in the project.

use serde::{Deserialize, Serialize};

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);
    };
}

unit!(
    /// Energy in 0.0001 kWh (0.1 Wh).
    EnergyE4
);
unit!(
    /// Price in 0.00001 yuan per kWh.
    PriceP5
);
unit!(
    /// An amount in 0.0001 yuan: the precision in which segments are rated before they are summed.
    AmountE4
);
unit!(
    /// Money in fen, 1/100 yuan.
    Fen
);
