//! What a body is, decoded, searched and masked across any split.
