"""REST of the campaign service: campaigns, templates, settings, the ledger, the kill switch, and the public pages."""

from fastapi import APIRouter

from services.campaign.api import campaigns, messages, settings, templates
from services.campaign.composition import writer_of
from services.campaign.documents import Rulebooks
from services.campaign.public import public_paths
from services.campaign.visits import click_paths, survey_paths
from shared.runtime.service import Context

__all__ = ["router_of"]


def router_of(context: Context, rulebooks: Rulebooks) -> APIRouter:
    """All paths of the campaign service."""
    routes = APIRouter(tags=["campaign"])
    campaigns.paths(routes, context, rulebooks)
    campaigns.pausing(routes, context)
    campaigns.looking_ahead(routes, context, rulebooks)
    templates.paths(routes, context)
    settings.paths(routes, context, rulebooks)
    messages.paths(routes, context)
    messages.sending(routes, context)
    secret = writer_of(context.settings).secret
    public_paths(routes, context, secret)
    click_paths(routes, context, secret)
    survey_paths(routes, context, secret)
    return routes
