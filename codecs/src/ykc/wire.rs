//! How a field table becomes a view, a value and an encoder: [`Wire`] for one field, [`body!`] for a whole table.
//!
//! A table is written once, in the order of the wire. From it come the checked view (borrows the body, reads a field
//! when asked), the plain value (`Copy`, can be built and emitted) and the list of [`Field`]s that `describe` walks.
//! That the fields fill the body without gap or overlap is checked by the compiler.

use nom::IResult;
use nom::error::{Error, ErrorKind};

use super::frame::BODY_MAX;
use crate::error::{ParseError, Reason};

/// A value with a fixed place on the wire. Total in both directions: every byte pattern is a value, and gives itself
/// back.
pub(crate) trait Wire<const N: usize>: Copy {
    /// How it is shown.
    const SHAPE: Shape;
    fn from_wire(bytes: [u8; N]) -> Self;
    fn to_wire(self) -> [u8; N];
}

/// How a field is read by people and by tools.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Lower-case hex digits of the bytes as sent: BCD numbers and opaque bytes.
    Hex,
    /// Unsigned integer, little-endian.
    Int,
    /// Unsigned integer, little-endian, divided by 10 to this power.
    Decimal(u32),
    /// One byte, 50 below zero.
    Temperature,
    /// Text, padded with zeros on the right.
    Text,
    /// CP56Time2a, local time of the station.
    Time,
    /// One byte with a meaning.
    Code(fn(u8) -> &'static str),
}

/// One row of a field table.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Name, as in the JSON form.
    pub name: &'static str,
    /// Offset in the body.
    pub at: usize,
    /// Length in bytes.
    pub len: usize,
    /// How it is read.
    pub shape: Shape,
    /// Unit, empty if none.
    pub unit: &'static str,
}

/// Whether the fields fill `len` bytes in order, without gap or overlap.
pub(crate) const fn fills(fields: &[Field], len: usize) -> bool {
    let mut rest = fields;
    let mut at = 0;
    while let [field, tail @ ..] = rest {
        if field.at != at {
            return false;
        }
        at += field.len;
        rest = tail;
    }
    at == len
}

/// `nom` parser for a piece of fixed length, borrowed as an array: whoever holds it needs no further check.
pub(crate) fn piece<const N: usize>(input: &[u8]) -> IResult<&[u8], &[u8; N]> {
    match input.split_first_chunk() {
        Some((piece, rest)) => Ok((rest, piece)),
        None => Err(nom::Err::Error(Error::new(input, ErrorKind::Eof))),
    }
}

/// `nom` parser for `count` pieces of equal length, borrowed as one slice of arrays.
pub(crate) fn pieces<'a, const N: usize>(count: usize) -> impl FnMut(&'a [u8]) -> IResult<&'a [u8], &'a [[u8; N]]> {
    move |input| {
        let (rest, taken) = nom::bytes::complete::take(count * N)(input)?;
        Ok((rest, taken.as_chunks().0))
    }
}

/// Runs a parser over a whole body; on failure names the first field of the table that the body is too short for.
#[inline]
pub(crate) fn whole<'a, T>(
    body: &'a [u8],
    message: &'static str,
    fields: &[Field],
    mut parser: impl FnMut(&'a [u8]) -> IResult<&'a [u8], T>,
) -> Result<(T, &'a [u8]), ParseError> {
    if body.len() > BODY_MAX {
        let reason = Reason::Long { max: BODY_MAX, have: body.len() };
        return Err(ParseError { message, field: "body", offset: BODY_MAX, reason });
    }
    match parser(body) {
        Ok((extra, value)) => Ok((value, extra)),
        Err(_) => Err(short(body, message, fields)),
    }
}

#[cold]
fn short(body: &[u8], message: &'static str, fields: &[Field]) -> ParseError {
    let missing = fields.iter().find(|field| field.at + field.len > body.len());
    let (field, offset, need) = missing.map_or(("body", 0, 0), |f| (f.name, f.at, f.at + f.len));
    ParseError { message, field, offset, reason: Reason::Short { need, have: body.len() } }
}

/// The bytes of one field. The place is a constant that the compiler checks, so this neither fails nor branches.
#[inline(always)]
pub(crate) fn at<const AT: usize, const LEN: usize, const N: usize>(piece: &[u8; N]) -> [u8; LEN] {
    const { assert!(AT + LEN <= N, "field lies outside of its table") };
    piece.get(AT..).and_then(|tail| tail.first_chunk()).copied().unwrap_or([0; LEN])
}

macro_rules! wire_int {
    ($($ty:ty, $len:literal;)*) => { $(
        impl Wire<$len> for $ty {
            const SHAPE: Shape = Shape::Int;
            #[inline(always)]
            fn from_wire(bytes: [u8; $len]) -> Self { Self::from_le_bytes(bytes) }
            #[inline(always)]
            fn to_wire(self) -> [u8; $len] { self.to_le_bytes() }
        }
    )* };
}
wire_int! { u8, 1; u16, 2; u32, 4; }

/// Opaque bytes.
impl<const N: usize> Wire<N> for [u8; N] {
    const SHAPE: Shape = Shape::Hex;
    #[inline(always)]
    fn from_wire(bytes: [u8; N]) -> Self {
        bytes
    }
    #[inline(always)]
    fn to_wire(self) -> [u8; N] {
        self
    }
}

/// Declares a body of fixed length from its field table.
///
/// `0..7 pile: PileId = "pile_id" "";` reads: bytes 0 to 6, Rust name, type, JSON name, unit.
macro_rules! body {
    (
        $(#[$doc:meta])*
        $name:ident / $view:ident, kind $kind:expr, $label:literal, $len:literal bytes {
            $( $(#[$fdoc:meta])* $at:literal .. $end:literal $field:ident : $ty:ty = $wire:literal $unit:literal; )*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name {
            $( $(#[$fdoc])* pub $field: $ty, )*
        }

        impl $name {
            /// Frame type.
            pub const KIND: u8 = $kind;
            /// Length of the body by the table.
            pub const LEN: usize = $len;
            /// The field table.
            pub const FIELDS: &'static [$crate::ykc::Field] = &[ $( $crate::ykc::Field {
                name: $wire,
                at: $at,
                len: $end - $at,
                shape: <$ty as $crate::ykc::wire::Wire<{ $end - $at }>>::SHAPE,
                unit: $unit,
            }, )* ];
        }

        const _: () = assert!($crate::ykc::wire::fills($name::FIELDS, $len), "the field table has a gap or an overlap");

        #[doc = concat!("Checked view of a body of [`", stringify!($name), "`]: borrows it and reads a field when asked.")]
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub struct $view<'a> {
            table: &'a [u8; $len],
            extra: &'a [u8],
        }

        impl<'a> $view<'a> {
            /// Checks the length once; no accessor can fail afterwards.
            ///
            /// # Errors
            /// The body is shorter than the table, or longer than a frame can carry.
            #[inline]
            pub fn new_checked(body: &'a [u8]) -> Result<Self, $crate::error::ParseError> {
                let (table, extra) =
                    $crate::ykc::wire::whole(body, $label, $name::FIELDS, $crate::ykc::wire::piece::<$len>)?;
                Ok(Self { table, extra })
            }

            $(
                $(#[$fdoc])*
                #[inline]
                pub fn $field(&self) -> $ty {
                    <$ty as $crate::ykc::wire::Wire<{ $end - $at }>>::from_wire(
                        $crate::ykc::wire::at::<$at, { $end - $at }, $len>(self.table),
                    )
                }
            )*

            /// What follows behind the table: a newer version or a vendor's additions.
            #[inline]
            pub fn extra(&self) -> &'a [u8] {
                self.extra
            }

            /// All fields of the table at once.
            #[inline]
            pub fn read(&self) -> $name {
                $name { $( $field: self.$field(), )* }
            }
        }

        impl ::core::fmt::Debug for $view<'_> {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.debug_struct(stringify!($view)).field("table", &self.read()).field("extra", &self.extra).finish()
            }
        }

        impl $crate::ykc::Body for $name {
            fn kind(&self) -> u8 {
                $kind
            }
            #[inline]
            fn emit(&self, out: &mut Vec<u8>) {
                $( out.extend_from_slice(&<$ty as $crate::ykc::wire::Wire<{ $end - $at }>>::to_wire(self.$field)); )*
            }
        }

        impl $crate::ykc::Body for $view<'_> {
            fn kind(&self) -> u8 {
                $kind
            }
            fn emit(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(self.table);
                out.extend_from_slice(self.extra);
            }
        }

        impl $crate::ykc::encode::Sealed for $name {}
        impl $crate::ykc::encode::Sealed for $view<'_> {}
    };
}
pub(crate) use body;
