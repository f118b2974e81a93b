//! Tests of a whole run whose order, clock, chance and stores the test owns.

mod life;
mod mirror;
mod outlet;
mod predecessors;
mod reader;
mod recover;
mod redelivery;
mod schemas;
mod simulation;
mod way;
mod world;
