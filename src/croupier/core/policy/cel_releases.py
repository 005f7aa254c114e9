"""Rules in CEL: canaries, analyses, blue-green switches, and copies of databases; see ``cel.py``."""

from __future__ import annotations

from collections.abc import Mapping

from croupier.core.policy.databases import LEAST_COPIES, RPO
from croupier.core.policy.facts import PREFIX
from croupier.core.policy.strategies import DECIDED, LADDER, LEAST_KEPT_SECONDS, SAMPLED


def _whole(optional: str, missing: int = 0) -> str:
    """A whole number; ``missing`` for what is none."""
    return f"[dyn({optional}.orValue({missing}))].map(n, type(n) == int ? n : {missing})[0]"


def _number(optional: str, missing: int) -> str:
    """A whole number, or digits; ``missing`` for what is neither."""
    return (
        f"[dyn({optional}.orValue({missing}))].map(n, type(n) == int ? n : "
        f"type(n) == string && n.matches('^[0-9]{{1,18}}$') ? int(n) : {missing})[0]"
    )


def _numbers(listed: str) -> str:
    """The whole numbers of a list, but not those that are nothing."""
    return f"{listed}.filter(n, type(n) == int && n != 0)"


# canary-steps

_CANARY = "object.?spec.?strategy.?canary"
_STEPS = f"{_CANARY}.?steps.orValue([])"
_ANALYSIS = "object.?spec.?analysis"
_RISES = (
    f"{list(range(1, 101))}.map(n, n * {_whole(f'{_ANALYSIS}.?stepWeight')}).filter(n, n <= "
    f"[{_whole(f'{_ANALYSIS}.?maxWeight')}].map(n, n != 0 ? n : 100)[0])"
)
"""Weights of a Flagger canary that goes up by one step again and again."""
_TOLD = (
    f"object.kind == 'Rollout' ? {_numbers(f'{_STEPS}.map(s, s.?setWeight.orValue(0))')} : "
    "object.kind == 'ReleasePolicy' ? object.?spec.?strategy.?steps.orValue([]) : "
    f"{_numbers(f'{_ANALYSIS}.?stepWeights.orValue([])')}.size() > 0 ? "
    f"{_numbers(f'{_ANALYSIS}.?stepWeights.orValue([])')} : "
    f"{_whole(f'{_ANALYSIS}.?stepWeight')} > 0 ? {_RISES} : []"
)
_TO_ALL = "(object.kind == 'ReleasePolicy' || (told.size() > 0 && told[told.size() - 1] >= 100) ? told : told + [100])"
_IS_CANARY = (
    f"(object.kind == 'Rollout' ? {_CANARY}.hasValue() : object.kind == 'ReleasePolicy' ? "
    "object.?spec.?strategy.?steps.hasValue() && object.spec.strategy.steps != [100] : "
    f"{_ANALYSIS}.?iterations.orValue(0) == 0 && {_ANALYSIS}.?match.orValue([]).size() == 0)"
)
_AS_DECIDED = f"object.?metadata.?annotations[?'{DECIDED}']"
_ITS_STEPS = (
    f"!{_IS_CANARY} || [{_TOLD}].map(told, {_TO_ALL}).all(told, {_AS_DECIDED}.hasValue() ? "
    f"{_AS_DECIDED}.value().matches('^[^0-9]*' + told.map(n, '0*' + string(n)).join('[^0-9]+') + '[^0-9]*$') : "
    f"told == {list(LADDER)})"
)

# canary-gates

_SPELT = (
    f"{_STEPS}.map(s, [{_whole('s.?setWeight')}].map(n, n == 0 ? '-' : n < 100 ? 'W' : 'L')[0] + "
    "('analysis' in s || s.?experiment.?analyses.orValue([]).size() > 0 ? 'J' : '-') + "
    "('pause' in s ? 'P' : '-')).join('')"
)
"""The steps of a Rollout, three letters each: a weight, or the last of them; judged; waits."""
_WATCHED = f"{_CANARY}.?analysis.?templates.orValue([]).size() > 0"
_FROM = _whole(f"{_CANARY}.?analysis.?startingStep")
_UNJUDGED = "W-.(--.)*([WL]|$)"
_JUDGED = (
    f"[{_SPELT}].all(steps, {_WATCHED} ? !steps.matches('W--(---)*([WL]|$)') && ({_FROM} < 1 || "
    f"!steps.matches('^(...){{0,' + string({_FROM} - 1) + '}}{_UNJUDGED}')) : "
    f"steps.matches('[WL]') && !steps.matches('{_UNJUDGED}'))"
)
_CANARY_WATCHED = (
    "!object.?spec.?skipAnalysis.orValue(false) && "
    f"({_ANALYSIS}.?metrics.orValue([]).size() > 0 || "
    f"{_ANALYSIS}.?webhooks.orValue([]).exists(hook, hook.?type.orValue('') == 'rollout')) && "
    f"{_ANALYSIS}.?metrics.orValue([]).all(metric, metric.?threshold.hasValue() || "
    "metric.?thresholdRange.orValue({}) != {})"
)
_ITS_GATES = (
    f"object.kind == 'Rollout' ? !{_CANARY}.hasValue() || {_JUDGED} : object.kind == 'Canary' ? {_CANARY_WATCHED} : "
    "object.?spec.?objectives.orValue([]).size() > 0 || object.?spec.?gates.orValue([]).size() > 0"
)

# analysis-decides

_DRY = "object.?spec.?dryRun.orValue([])"
_DECIDES = (
    "object.?spec.?metrics.orValue([]).all(m, "
    "(m.?successCondition.orValue('') != '' || m.?failureCondition.orValue('') != '' || "
    "m.?provider.?job.hasValue()) && "
    f"{_whole('m.?failureLimit')} >= 0 && "
    f"!{_DRY}.exists(held, held.?metricName.orValue('') == '.*' || "
    "held.?metricName.orValue('') == m.?name.orValue('')) && "
    f"(m.?interval.hasValue() || {_number('m.?count', 1)} > 1 || "
    f"!{list(SAMPLED)}.exists(kind, kind in m.?provider.orValue({{}}))))"
)

# blue-green-way-back

_SWITCH = "object.?spec.?strategy.?blueGreen"
_WAY_BACK = (
    f"!{_SWITCH}.hasValue() || ({_number(f'{_SWITCH}.?scaleDownDelaySeconds', 30)} >= {LEAST_KEPT_SECONDS} && "
    f"{_SWITCH}.?scaleDownDelayRevisionLimit.orValue(1) != 0 && {_SWITCH}.?previewService.orValue('') != '' && "
    f"{_SWITCH}.?previewService.orValue('') != {_SWITCH}.?activeService.orValue('') && "
    f"(!{_SWITCH}.?autoPromotionEnabled.orValue(true) || {_SWITCH}.?prePromotionAnalysis.orValue({{}}) != {{}}))"
)

# database-replication

_SECONDS = r"^\s*[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?\s*$"
_LOSS = f"object.?metadata.?annotations[?'{RPO}']"
_TIER = (
    "[object.?metadata.?labels.orValue({})].map(held, held[?'tier'].orValue('') != '' ? held['tier'] : "
    f"held[?'{PREFIX}tier'].orValue(''))[0]"
)
_SYNCHRONOUS = "object.?spec.?postgresql.?synchronous"
_WAITS = (
    f"(object.kind == 'Cluster' ? {_number(f'{_SYNCHRONOUS}.?number', 0)} > 0 || "
    f"{_whole('object.?spec.?minSyncReplicas')} > 0 : object.kind == 'postgresql' ? "
    "object.?spec.?patroni.?synchronous_mode.orValue(false) : "
    "object.?spec.?patroni.?dynamicConfiguration.?synchronous_mode.orValue(false) == true)"
)
_ON_TWO = (
    f"{_LOSS}.orValue('0').matches(r'{_SECONDS}') && (({_LOSS}.hasValue() ? double({_LOSS}.value().trim()) != 0.0 : "
    f"{_TIER} != 'money') || ({_WAITS} && {_SYNCHRONOUS}.?dataDurability.orValue('') != 'preferred')) && "
    "(object.kind != 'Cluster' || !object.?spec.?replica.?enabled.orValue(false) || "
    f"({_SYNCHRONOUS}.?standbyNamesPre.orValue([]).size() == 0 && "
    f"{_SYNCHRONOUS}.?standbyNamesPost.orValue([]).size() == 0))"
)
_TOPIC_WAITS = _number("object.?spec.?config[?'min.insync.replicas']", 2)
_TOPIC = (
    f"!object.?spec.?replicas.hasValue() || (object.spec.replicas >= {LEAST_COPIES} && {_TOPIC_WAITS} >= 2 && "
    f"{_TOPIC_WAITS} < object.spec.replicas)"
)
_BROKER = "object.?spec.?kafka.?config[?'%s']"
_BROKERS = (
    f"!object.?spec.?kafka.hasValue() || ({_number(_BROKER % 'default.replication.factor', 1)} >= {LEAST_COPIES} && "
    f"{_number(_BROKER % 'min.insync.replicas', 1)} >= 2)"
)
_COPIES = f"object.kind == 'KafkaTopic' ? {_TOPIC} : object.kind == 'Kafka' ? {_BROKERS} : {_ON_TWO}"

OF_OBJECTS: Mapping[str, tuple[tuple[str, ...], str]] = {
    # databases.py
    "database-replication": (("Cluster", "postgresql", "PostgresCluster", "Kafka", "KafkaTopic"), _COPIES),
    # strategies.py
    "canary-steps": (("Rollout", "Canary", "ReleasePolicy"), _ITS_STEPS),
    "canary-gates": (("Rollout", "Canary", "ReleasePolicy"), _ITS_GATES),
    "analysis-decides": (("AnalysisTemplate", "ClusterAnalysisTemplate"), _DECIDES),
    "blue-green-way-back": (("Rollout",), _WAY_BACK),
}
"""Rule -> the kinds it asks, and what."""
