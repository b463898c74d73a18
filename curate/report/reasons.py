"""What the reasons of `decisions` mean: by the rules of the filter, and by what the state says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..quality.rules import LIST_RULES, RULES, conditions


def meaning_of(reason: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """meaning, setting and value of a reason. params: of the state of `decisions`.

    A reason of `--where`, or of a plug-in's rule, is explained by its condition: the plug-in need
    not be loaded.
    """
    named = conditions(tuple(params.get("where", ())))
    if reason in named:
        return {"meaning": "kept are clips where", "setting": None, "value": named[reason]}
    if reason in (rules := params.get("rules", {})):
        return {
            "meaning": "a plug-in's rule: dropped where",
            "setting": None,
            "value": rules[reason],
        }
    for rule in RULES:
        if rule.name == reason:
            value = params.get(rule.setting) if rule.setting else None
            return {"meaning": rule.sentence, "setting": rule.setting, "value": value}
    of_lists = [rule for rule in LIST_RULES if rule.name == reason and rule.setting]
    given = [str(rule.setting) for rule in of_lists if params.get(str(rule.setting))]
    return {
        "meaning": of_lists[0].sentence if of_lists else "",
        "setting": given[0] if given else None,
        "value": ", ".join(params[given[0]]) if given else None,
    }
