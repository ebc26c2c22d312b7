//! What a PostgreSQL statement does, from PostgreSQL's own grammar.
//!
//! Text, a catalog snapshot and a few session settings go in; facts, the origins of every output
//! column, and the list of places where stored columns are used come out. The crate is pure: it
//! knows no wire protocol, no policy and no mask. Masks reach it only as a predicate over stored
//! columns, in [`mod@exposure`].
//!
//! * [`catalog`]: the snapshot that names are resolved against, plain data.
//! * [`parse`]: text to [`Statements`], on a stack deep enough for hostile nesting.
//! * [`statement`]: what is known of a statement, all of it flat, so it can be kept and shared.
//! * [`shape`]: texts that differ only in their literals, told apart from all others.
//! * [`exposure()`]: whether a statement could tell a principal what a mask hides.
//! * [`change`]: what a definition changes the meaning of, and what a statement goes by.
//!
//! What it refuses to guess: a name it cannot resolve is listed as written and makes the columns
//! that depend on it *unknown*; unknown is never the same as "depends on nothing".

#![deny(missing_docs)]

mod beside;
mod call;
mod cast;
pub mod catalog;
pub mod change;
mod complete;
mod conversion;
mod define;
mod depth;
mod dropped;
mod estimate;
pub mod exposure;
mod expression;
mod from;
mod fuzzing;
mod known;
mod label;
mod letters;
mod modify;
mod operand;
pub mod own;
mod parse;
mod predicate;
mod query;
mod record;
mod relation;
mod rows;
mod sample;
mod scope;
pub mod shape;
mod stack;
pub mod statement;
mod tree;
mod typing;
mod utility;
mod value;
mod view;
mod walk;

pub use catalog::{
    Cast, Catalog, CatalogData, ColumnId, Fill, Function, Operator, Relation, RelationKind,
    SearchPath, StoredColumn, Tie, TieKind, Type, TypeKind,
};
pub use estimate::{LIMIT as ESTIMATE_DIGITS_MAX, SCALE as COST_SCALE};
pub use exposure::{
    Predicates, REASONS, Untraceable, exposure, exposure_beside, is_clear, masked_columns,
    masked_kinds, refused_use,
};
pub use fuzzing::fuzz;
pub use known::steers_plans;
pub use letters::has_names_beyond_ascii;
pub use parse::{Options, Unparsable, analyse, merged, steps};
pub use sample::sample;
pub use shape::shape_of;
pub use statement::{
    CopyDetails, CopyTarget, Facts, Guess, Missing, Opaque, Operand, OutputColumn, Outputs, Place,
    Runs, Statement, StatementKind, Statements, TransactionKind, Use,
};
