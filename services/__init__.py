"""The servers that tests run against, and the tests that drive the daemon against them. See README.md."""
