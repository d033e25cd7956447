//! Tests of pictures and data.
