"""The commands of `jaxrl`, one module each, with a `main(argv)`."""
