//! Tests of documents through the public interface alone.

mod basics;
mod convergence;
mod support;
