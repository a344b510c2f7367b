"""Campaign: answers class changes and selected interactions with a personal message, or says why not.

Owns campaigns, templates, company settings and the ledger of messages. Consumes `profiles` and `segment-changes`;
produces `messages`, and sent e-mails and opt-outs as `interactions`.
"""
