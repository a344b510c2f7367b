"""Sources by document: inbound webhooks of other systems, and how strictly the events of a sender are taken."""
