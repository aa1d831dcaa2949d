"""What the template promises, checked on the template itself and on its expansion."""

import ast
import importlib
import json
import os
import re
import subprocess
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from cueline.adapters.secrets import SHORTEST
from cueline.engine.agent import TOOL_FUNCTIONS, TOOL_SECRETS
from cueline.settings import Settings
from local import template
from local.template import ROOT

SOURCE = template.load()
FUNCTIONS = template.functions(SOURCE)
SAM = ROOT / ".envs/sam/bin"
HANDLERS = sorted((ROOT / "functions").rglob("*.py"))
OWN = ":${AWS::Region}:${AWS::AccountId}:"
OF_TOOLS = {
    "lambda": {"Fn::Sub": f"arn:${{AWS::Partition}}:lambda{OWN}function:{TOOL_FUNCTIONS}*"},
    "secretsmanager": {
        "Fn::Sub": f"arn:${{AWS::Partition}}:secretsmanager{OWN}secret:{TOOL_SECRETS}*"
    },
}


def of_type(resources: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    found = {name: one for name, one in resources["Resources"].items() if one["Type"] == kind}
    assert found, f"no {kind} in the template"
    return found


def statements(expanded: dict[str, Any]) -> list[dict[str, Any]]:
    """Of every role's own policies; a conditional policy counts as there."""
    return statements_in(of_type(expanded, "AWS::IAM::Role"))


def statements_in(policies: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def visit(node: Any) -> None:
        if isinstance(node, dict):
            if "Effect" in node and "Resource" in node:
                found.append(node)
            for value in node.values():
                visit(value)
        elif isinstance(node, list):
            for value in node:
                visit(value)

    visit(policies)
    return found


# --- functions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_handler_is_where_the_build_puts_it(name: str) -> None:
    function = FUNCTIONS[name]
    properties, building = function["Properties"], function["Metadata"]["BuildProperties"]
    folder = properties["CodeUri"]
    assert (ROOT / folder).is_dir()
    assert folder.startswith("functions/")
    if "/" in properties["Handler"]:
        assert properties["Handler"] == f"{folder}/run.sh"
        assert building == {
            "ParentPackageMode": "explicit",
            "ParentPackages": folder.replace("/", "."),
        }
    else:
        # Without it `sam build` succeeds, and every invocation fails to import the handler.
        assert building == {"ParentPackageMode": "auto"}
        assert properties["Handler"] == f"{folder.replace('/', '.')}.app.lambda_handler"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_handler_can_be_imported(name: str) -> None:
    properties = FUNCTIONS[name]["Properties"]
    module = importlib.import_module(properties["CodeUri"].replace("/", ".") + ".app")
    handler = "app" if properties["Handler"].endswith("run.sh") else "lambda_handler"
    assert callable(getattr(module, handler))


@pytest.mark.parametrize("path", HANDLERS, ids=lambda path: path.parent.name)
def test_a_handler_is_wiring_and_routes(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 100


def test_functions_bring_no_dependencies_of_their_own() -> None:
    # They would silently shadow the layer's versions.
    assert not list((ROOT / "functions").rglob("requirements*.txt"))


def test_the_start_script_can_be_executed() -> None:
    script = ROOT / "functions/agent_events/run.sh"
    assert os.access(script, os.X_OK)
    assert script.read_text().startswith("#!/bin/sh\n")


def test_the_runtime_is_a_parameter(expanded: dict[str, Any]) -> None:
    assert SOURCE["Globals"]["Function"]["Runtime"] == {"Ref": "PythonRuntime"}
    assert not [name for name, one in FUNCTIONS.items() if "Runtime" in one["Properties"]]
    for function in of_type(expanded, "AWS::Lambda::Function").values():
        assert function["Properties"]["Runtime"] == {"Ref": "PythonRuntime"}


def test_a_function_is_told_only_what_its_code_reads() -> None:
    """Each setting that the template gives is a field of Settings, or Lambda's own."""
    tree = ast.parse((ROOT / "layers/cueline/cueline/settings.py").read_text())
    fields = {
        node.target.id.upper()
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    others = re.compile(r"POWERTOOLS_\w+|AWS_LWA_\w+|AWS_LAMBDA_EXEC_WRAPPER|PORT")
    for function in FUNCTIONS.values():
        names = function["Properties"]["Environment"]["Variables"]
        assert {name for name in names if not others.fullmatch(name)} <= fields


def test_no_secret_is_in_an_environment(expanded: dict[str, Any]) -> None:
    for function in of_type(expanded, "AWS::Lambda::Function").values():
        for name, value in function["Properties"]["Environment"]["Variables"].items():
            assert not re.search(r"(?i)(key|token|password|secret)$", name)
            assert "resolve:" not in json.dumps(value)


# --- access --------------------------------------------------------------------------------------


def test_no_permission_names_a_star(expanded: dict[str, Any]) -> None:
    found = [one for one in statements(expanded) if one["Effect"] == "Allow"]
    assert len(found) >= 8
    for statement in found:
        actions = statement["Action"]
        for action in [actions] if isinstance(actions, str) else actions:
            assert "*" not in action
        assert statement["Resource"] != "*"


@pytest.mark.parametrize(
    ("secret", "readers"),
    [
        ("ModelSecretArn", {"AgentEventsFunctionRole", "WorkerFunctionRole"}),
        (
            "TokenSecret",
            {
                *("AccessFunctionRole", "AgentsFunctionRole", "AgentEventsFunctionRole"),
                *("TriggeredResponsesFunctionRole", "ConnectionsFunctionRole"),
                "TriggersFunctionRole",
            },
        ),
    ],
)
def test_a_secret_is_read_only_by_functions_that_use_it(
    expanded: dict[str, Any], secret: str, readers: set[str]
) -> None:
    allowing = {"Effect": "Allow", "Action": ["secretsmanager:GetSecretValue"],
                "Resource": {"Ref": secret}}  # fmt: skip
    roles = of_type(expanded, "AWS::IAM::Role").items()
    assert {name for name, role in roles if json.dumps(allowing) in json.dumps(role)} == readers
    known = ({"Ref": "ModelSecretArn"}, {"Ref": "TokenSecret"}, OF_TOOLS["secretsmanager"])
    everywhere = [one["Resource"] for one in statements(expanded) if "secret" in str(one["Action"])]
    assert all(resource in known for resource in everywhere)


@pytest.mark.parametrize("service", OF_TOOLS)
def test_only_functions_that_run_turns_reach_what_is_a_tools(
    expanded: dict[str, Any], service: str
) -> None:
    roles = of_type(expanded, "AWS::IAM::Role").items()
    allowed = {name for name, role in roles if json.dumps(OF_TOOLS[service]) in json.dumps(role)}
    assert allowed == {"AgentEventsFunctionRole", "WorkerFunctionRole"}
    for statement in statements(expanded):
        if "lambda:" in str(statement["Action"]):
            assert statement["Resource"] == OF_TOOLS["lambda"]


def test_only_functions_that_run_turns_are_in_a_network_of_the_deployment(
    expanded: dict[str, Any],
) -> None:
    """Lambda makes network interfaces by the function's role; what runs there, such as a tool, may
    not. What SAM adds to the role it adds without a network too."""
    allowing = "arn:aws:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole"
    nothing = {"Ref": "AWS::NoValue"}
    subnets, groups = ({"Fn::Split": [",", {"Ref": n}]} for n in ("SubnetIds", "SecurityGroupIds"))
    network = {
        "SubnetIds": subnets,
        "SecurityGroupIds": {"Fn::If": ["HasSecurityGroups", groups, nothing]},
    }
    for name, function in of_type(expanded, "AWS::Lambda::Function").items():
        runs = "TOOL_NETWORK" in function["Properties"]["Environment"]["Variables"]
        found = function["Properties"].get("VpcConfig")
        assert found == ({"Fn::If": ["HasSubnets", network, nothing]} if runs else None)
        role = expanded["Resources"][f"{name}Role"]["Properties"]
        assert (allowing in role["ManagedPolicyArns"]) == runs
        denied = [one for one in statements_in(role) if one["Effect"] == "Deny"]
        assert len(denied) == runs
        for statement in denied:
            assert set(statement["Action"]) == {
                *("ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface"),
                *("ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"),
                *("ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"),
            }
            every = {"Fn::Sub": f"arn:${{AWS::Partition}}:lambda{OWN}function:*"}
            assert statement["Condition"] == {"ArnLike": {"lambda:SourceFunctionArn": every}}
            assert statement["Resource"] == "*"


LATER = {
    *("AgentEventsFunction", "WorkerFunction", "TriggeredResponsesFunction"),
    *("TriggersFunction", "IntakeFunction"),
}
"""Who makes wake-ups for later: functions that run turns, and those that take what is for later."""
REGULARLY = {"AgentsFunction", "TriggersFunction", "IntakeFunction"}
"""Who makes, changes and removes schedules of agents and triggers; the last, where one has fired
that is none any more."""
SCHEDULE = {
    "Fn::Sub": f"arn:${{AWS::Partition}}:scheduler{OWN}schedule/${{ScheduleGroup}}/*",
}


def test_schedules_are_made_in_one_group_for_one_role(expanded: dict[str, Any]) -> None:
    may: dict[str, list[str]] = {}
    passing = []
    for name, role in of_type(expanded, "AWS::IAM::Role").items():
        for statement in statements_in(role):
            actions = statement["Action"]
            if any(action.startswith("scheduler:") for action in actions):
                assert statement["Resource"] == SCHEDULE
                may[name.removesuffix("Role")] = actions
            if "iam:PassRole" in actions:
                assert actions == ["iam:PassRole"]
                assert statement["Resource"] == {"Fn::GetAtt": ["ScheduleRole", "Arn"]}
                to = {"iam:PassedToService": "scheduler.amazonaws.com"}
                assert statement["Condition"] == {"StringEquals": to}
                passing.append(name.removesuffix("Role"))
    create, *change = [f"scheduler:{verb}Schedule" for verb in ("Create", "Update", "Delete")]
    assert may == {
        **{name: [create] for name in LATER},
        **{name: [create, *change] for name in REGULARLY},
    }
    assert [*may] == passing


@pytest.mark.parametrize(
    ("index", "readers"),
    [
        (
            "ListIndex",
            {"AgentsFunctionRole", "TriggeredResponsesFunctionRole", "TriggersFunctionRole"},
        ),
        ("SessionsIndex", {"TriggeredResponsesFunctionRole", "TriggersFunctionRole"}),
    ],
)
def test_an_index_is_read_only_by_functions_that_list(
    expanded: dict[str, Any], index: str, readers: set[str]
) -> None:
    found = set()
    for name, role in of_type(expanded, "AWS::IAM::Role").items():
        for statement in statements_in(role):
            if f"/index/{index}" in json.dumps(statement["Resource"]):
                assert statement["Action"] == ["dynamodb:Query"]
                found.add(name)
    assert found == readers


def test_the_schedulers_role_sends_to_queues_and_does_nothing_else(
    expanded: dict[str, Any],
) -> None:
    role = of_type(expanded, "AWS::IAM::Role")["ScheduleRole"]
    [statement] = statements_in(role["Properties"]["Policies"])
    assert statement["Action"] == ["sqs:SendMessage"]
    queues = [{"Fn::GetAtt": [name, "Arn"]} for name in ("WakeUps", "Intake", "SchedulesFailed")]
    assert statement["Resource"] == queues
    [trusted] = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trusted["Principal"] == {"Service": "scheduler.amazonaws.com"}
    assert trusted["Condition"]["StringEquals"] == {
        "aws:SourceAccount": {"Ref": "AWS::AccountId"},
        "aws:SourceArn": {"Fn::GetAtt": ["ScheduleGroup", "Arn"]},
    }


def test_who_makes_schedules_knows_where_they_go_and_nobody_else_does(
    expanded: dict[str, Any],
) -> None:
    told = {
        "WAKE_UPS_ARN": (LATER, {"Fn::GetAtt": ["WakeUps", "Arn"]}),
        "INTAKE_ARN": (REGULARLY, {"Fn::GetAtt": ["Intake", "Arn"]}),
        "SCHEDULE_GROUP": (LATER | REGULARLY, {"Ref": "ScheduleGroup"}),
        "SCHEDULE_ROLE_ARN": (LATER | REGULARLY, {"Fn::GetAtt": ["ScheduleRole", "Arn"]}),
        "SCHEDULES_FAILED_ARN": (LATER | REGULARLY, {"Fn::GetAtt": ["SchedulesFailed", "Arn"]}),
    }
    for name, function in of_type(expanded, "AWS::Lambda::Function").items():
        variables = function["Properties"]["Environment"]["Variables"]
        for key, (makers, value) in told.items():
            assert variables.get(key) == (value if name in makers else None), (name, key)


def test_the_bus_is_told_by_who_announces_and_nobody_else(expanded: dict[str, Any]) -> None:
    telling = set()
    for name, role in of_type(expanded, "AWS::IAM::Role").items():
        for statement in statements_in(role):
            if "events:" in str(statement["Action"]):
                assert statement["Action"] == ["events:PutEvents"]
                assert statement["Resource"] == {"Fn::GetAtt": ["Bus", "Arn"]}
                telling.add(name.removesuffix("Role"))
    knowing = {
        name
        for name, one in FUNCTIONS.items()
        if one["Properties"]["Environment"]["Variables"].get("BUS_NAME") == {"Ref": "Bus"}
    }
    assert telling == knowing == {"CollectorFunction"}


SOCKETS = f"arn:${{AWS::Partition}}:execute-api{OWN}${{WsApi}}/v1/"
REACHING = {
    "AgentEventsFunction": ["POST"],
    "WorkerFunction": ["POST"],
    "BroadcastFunction": ["POST", "DELETE"],
    "CommandsFunction": ["POST", "DELETE"],
    "ConnectionsFunction": ["POST", "DELETE"],
}
"""Who sends to open WebSockets, and who ends them."""


def test_open_websockets_are_reached_by_who_tells_or_ends_them(expanded: dict[str, Any]) -> None:
    found: dict[str, list[str]] = {}
    for name, role in of_type(expanded, "AWS::IAM::Role").items():
        for statement in statements_in(role):
            if "execute-api" not in str(statement["Action"]):
                continue
            assert statement["Action"] == ["execute-api:ManageConnections"]
            given = statement["Resource"]
            resources = [one["Fn::Sub"] for one in (given if isinstance(given, list) else [given])]
            assert all(one.startswith(SOCKETS) for one in resources)
            methods = [one.removeprefix(SOCKETS) for one in resources]
            assert all(one.endswith("/@connections/*") for one in methods)
            found[name.removesuffix("Role")] = [one.partition("/")[0] for one in methods]
    assert found == REACHING


def test_who_reaches_websockets_knows_where_they_are_and_nobody_else_does() -> None:
    told = {name: one["Properties"]["Environment"]["Variables"] for name, one in FUNCTIONS.items()}
    assert {name for name, variables in told.items() if "SOCKETS_URL" in variables} == set(REACHING)
    assert len({json.dumps(v["SOCKETS_URL"]) for v in told.values() if "SOCKETS_URL" in v}) == 1
    dialled = {n: v["CONNECTIONS_URL"] for n, v in told.items() if "CONNECTIONS_URL" in v}
    assert dialled == {"ConnectionsFunction": SOURCE["Outputs"]["ConnectionsUrl"]["Value"]}


def test_an_alarm_names_the_function_that_cannot_tell_what_it_should(
    expanded: dict[str, Any],
) -> None:
    """WebSockets, the model, or the bus: it logs an error, and otherwise does as it always does."""
    groups = {
        name: one["Properties"]["LoggingConfig"]["LogGroup"]
        for name, one in of_type(expanded, "AWS::Lambda::Function").items()
    }
    counted = [one["Properties"] for one in of_type(expanded, "AWS::Logs::MetricFilter").values()]
    alarms = [one["Properties"] for one in of_type(expanded, "AWS::CloudWatch::Alarm").values()]
    for function in (*REACHING, "CollectorFunction"):
        [errors] = [one for one in counted if one["LogGroupName"] == groups[function]]
        assert errors["FilterPattern"] == '{ $.level = "ERROR" }'
        [metric] = errors["MetricTransformations"]
        assert (metric["MetricName"], metric["MetricValue"]) == (
            function.replace("Function", "Errors"),
            "1",
        )
        named = metric["MetricNamespace"], metric["MetricName"]
        [alarm] = [one for one in alarms if (one["Namespace"], one["MetricName"]) == named]
        assert (alarm["Statistic"], alarm["Threshold"]) == ("Sum", 0)
        assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
        # Between errors the filter says nothing at all.
        assert alarm["TreatMissingData"] == "notBreaching"


def test_every_alarm_is_sent_to_who_wants_alarms(expanded: dict[str, Any]) -> None:
    to = {"Fn::If": ["HasAlarmTopic", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]}
    alarms = of_type(expanded, "AWS::CloudWatch::Alarm").values()
    assert all(one["Properties"]["AlarmActions"] == to for one in alarms)


def test_who_calls_a_model_knows_the_default_one() -> None:
    for function in FUNCTIONS.values():
        variables = function["Properties"]["Environment"]["Variables"]
        assert ("DEFAULT_MODEL" in variables) == ("MODEL_NAME" in variables)


@pytest.mark.parametrize(
    ("network", "taken"),
    [
        ("", True),
        ("api.internal", True),
        ("api.internal:8080, 10.0.0.0/16,fd00::/8,[fd00::1]:8080", True),
        ("https://api.internal", False),
        ("api.internal,", False),
        ("*.internal", False),
    ],
)
def test_a_network_is_refused_alike_before_and_after_deployment(network: str, taken: bool) -> None:
    pattern = SOURCE["Parameters"]["ToolNetwork"]["AllowedPattern"]
    assert bool(re.search(pattern, network)) == taken
    if network:
        given = {"table_name": "t", "wake_ups_url": "u", "tool_network": network}
        with nullcontext() if taken else pytest.raises(ValueError, match="TOOL_NETWORK"):
            Settings.model_validate(given)


def test_the_secret_that_signs_tokens_is_random_and_long() -> None:
    made = SOURCE["Resources"]["TokenSecret"]["Properties"]["GenerateSecretString"]
    assert made["PasswordLength"] >= 2 * SHORTEST


@pytest.mark.parametrize("name", FUNCTIONS)
def test_lambda_takes_the_permissions_of_a_function(expanded: dict[str, Any], name: str) -> None:
    """20 KB of them, some 450 bytes each; beyond that a deployment fails."""
    permissions = [
        one
        for one in expanded["Resources"].values()
        if one["Type"] == "AWS::Lambda::Permission"
        and one["Properties"]["FunctionName"] == {"Ref": name}
    ]
    assert len(permissions) <= 40


# --- routes --------------------------------------------------------------------------------------


def test_what_can_stream_streams_after_expansion(expanded: dict[str, Any]) -> None:
    """The word STREAM passes every linter in its place, and silently buffers."""
    (api,) = of_type(expanded, "AWS::ApiGateway::RestApi").values()
    streaming = {
        (method.upper(), path)
        for path, methods in api["Properties"]["Body"]["paths"].items()
        for method, operation in methods.items()
        if operation["x-amazon-apigateway-integration"].get("responseTransferMode") == "STREAM"
        # The default ends every answer after 29 seconds.
        and operation["x-amazon-apigateway-integration"]["timeoutInMillis"] == 900_000
        and operation["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"].endswith(
            "/2021-11-15/functions/${AgentEventsFunction.Arn}/response-streaming-invocations"
        )
    }
    assert streaming == {
        ("POST", "/v2/agents/{agent_key}/sessions/{session_key}/events"),
        ("GET", "/sessions/{session_id}/events"),
    }
    matched = template.streaming_routes(SOURCE)
    assert [method for method, _ in matched] == ["POST", "GET"]
    assert matched[0][1].fullmatch("/v2/agents/a/sessions/s/events")
    assert not matched[0][1].fullmatch("/v2/agents/a/sessions/s/events/e/hide")
    assert matched[1][1].fullmatch("/sessions/a.s/events")
    assert not matched[1][1].fullmatch("/sessions/a.s/events/e")
    assert not matched[1][1].fullmatch("/v2/agents/a/sessions/s/events")


def test_every_event_of_a_websocket_goes_to_one_function(expanded: dict[str, Any]) -> None:
    routes = [one["Properties"] for one in of_type(expanded, "AWS::ApiGatewayV2::Route").values()]
    assert {one["RouteKey"] for one in routes} == {"$connect", "$default", "$disconnect"}
    assert all(one["Target"] == {"Fn::Sub": "integrations/${WsIntegration}"} for one in routes)
    # With a response, what the function returns would be one more frame.
    assert not any("RouteResponseSelectionExpression" in one for one in routes)
    (integration,) = of_type(expanded, "AWS::ApiGatewayV2::Integration").values()
    assert "${CommandsFunction.Arn}" in integration["Properties"]["IntegrationUri"]["Fn::Sub"]
    allowed = expanded["Resources"]["WsPermission"]["Properties"]
    assert allowed["FunctionName"] == {"Ref": "CommandsFunction"}
    assert allowed["SourceArn"] == {"Fn::Sub": SOCKETS + "*"}


def test_no_log_of_a_websocket_has_its_ticket_or_what_is_sent(expanded: dict[str, Any]) -> None:
    (stage,) = of_type(expanded, "AWS::ApiGatewayV2::Stage").values()
    written = json.loads(stage["Properties"]["AccessLogSettings"]["Format"])
    assert set(written.values()) == {
        f"$context.{name}"
        for name in (
            *("requestId", "requestTimeEpoch", "eventType", "connectionId", "status"),
            *("identity.sourceIp", "integrationLatency", "error.responseType"),
        )
    }
    settings = stage["Properties"]["DefaultRouteSettings"]
    # The others turn on the execution log, which has all of a request.
    assert set(settings) == {"ThrottlingRateLimit", "ThrottlingBurstLimit"}
    # It cannot be written before the account may write logs.
    assert stage["DependsOn"] == "ApiAccount"


@pytest.mark.parametrize(
    ("parameter", "url", "taken"),
    [
        ("ConnectionsUrl", "", True),
        ("ConnectionsUrl", "wss://realtime.example.com", True),
        ("ConnectionsUrl", "ws://127.0.0.1:8800/realtime", True),
        ("ConnectionsUrl", "https://realtime.example.com", False),
        ("ConnectionsUrl", "wss://realtime.example.com?a=b", False),
        ("SocketsBase", "", True),
        ("SocketsBase", "http://127.0.0.1:4566/_aws/execute-api", True),
        ("SocketsBase", "http://127.0.0.1:4566/_aws/execute-api/", False),
        ("SocketsBase", "wss://127.0.0.1:4566", False),
    ],
)
def test_a_gateways_address_is_one_that_an_id_or_a_query_can_follow(
    parameter: str, url: str, taken: bool
) -> None:
    pattern = SOURCE["Parameters"][parameter]["AllowedPattern"]
    assert bool(re.search(pattern, url)) == taken


def test_the_api_is_regional_and_names_its_methods(expanded: dict[str, Any]) -> None:
    (api,) = of_type(expanded, "AWS::ApiGateway::RestApi").values()
    assert api["Properties"]["EndpointConfiguration"]["Types"] == ["REGIONAL"]
    for methods in api["Properties"]["Body"]["paths"].values():
        assert set(methods) <= {
            *("get", "head", "post", "put", "patch", "delete", "options"),
        }


EVENT_PATHS = ("/v1/{proxy+}", "/api/v1/{proxy+}")


def test_any_method_may_be_an_event(expanded: dict[str, Any]) -> None:
    """Under both prefixes, of which published clients and the documentation each know one."""
    (api,) = of_type(expanded, "AWS::ApiGateway::RestApi").values()
    for path in EVENT_PATHS:
        methods = api["Properties"]["Body"]["paths"][path]
        assert set(methods) == {"get", "head", "post", "put", "patch", "delete", "options"}
        for operation in methods.values():
            uri = operation["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"]
            assert "${TriggersFunction.Arn}/invocations" in uri


def test_a_browser_may_ask_before_it_calls_any_route(expanded: dict[str, Any]) -> None:
    """API Gateway looks for OPTIONS nowhere but at the very path. Streaming or not, it is answered
    by the function that knows all origins; where OPTIONS may be an event, by the one that tells
    them apart."""
    (api,) = of_type(expanded, "AWS::ApiGateway::RestApi").values()
    for path, methods in api["Properties"]["Body"]["paths"].items():
        if path in ("/healthz", *EVENT_PATHS):
            continue
        asked = methods["options"]["x-amazon-apigateway-integration"]
        assert asked["type"] == "aws_proxy"
        assert "${AccessFunction.Arn}/invocations" in asked["uri"]["Fn::Sub"]
        assert "responseTransferMode" not in asked


@pytest.mark.parametrize(
    ("origins", "taken"),
    [
        ("", True),
        ("https://example.com", True),
        ("https://example.com, http://localhost:3000", True),
        ("https://example.com/", False),
        ("https://example.com/page", False),
        ("example.com", False),
        ("*", False),
        ("https://*.example.com", False),
        ("null", False),
        ("https://example.com,", False),
    ],
)
def test_origins_are_refused_alike_before_and_after_deployment(origins: str, taken: bool) -> None:
    pattern = SOURCE["Parameters"]["AllowedOrigins"]["AllowedPattern"]
    assert bool(re.search(pattern, origins)) == taken
    if origins:
        given = {"table_name": "t", "wake_ups_url": "u", "allowed_origins": origins}
        with nullcontext() if taken else pytest.raises(ValueError, match="ALLOWED_ORIGINS"):
            Settings.model_validate(given)


def test_what_the_gateway_says_itself_is_in_the_doors_shape() -> None:
    responses = SOURCE["Resources"]["Api"]["Properties"]["GatewayResponses"]
    assert {"DEFAULT_4XX", "DEFAULT_5XX", "THROTTLED"} <= set(responses)
    for kind in responses:
        body = json.loads(template.gateway_response(SOURCE, kind)[1])
        assert set(body) == {"messages", "detail", "message", "code", "retryable", "request_id"}
        assert body["messages"] == [body["detail"]] == [body["message"]]
        assert isinstance(body["retryable"], bool)
        assert body["request_id"] == "$context.requestId"
        assert re.fullmatch("[a-z_]+", body["code"])
        assert all(isinstance(message, str) for message in body["messages"])


# --- data and queues -----------------------------------------------------------------------------


def test_every_queue_is_encrypted_and_watched(expanded: dict[str, Any]) -> None:
    queues = of_type(expanded, "AWS::SQS::Queue")
    watched = {
        dimension["Value"]["Fn::GetAtt"][0]
        for alarm in of_type(expanded, "AWS::CloudWatch::Alarm").values()
        if alarm["Properties"]["Namespace"] == "AWS/SQS"
        for dimension in alarm["Properties"]["Dimensions"]
    }
    assert watched == set(queues)
    assert all(queue["Properties"]["SqsManagedSseEnabled"] for queue in queues.values())


def test_a_wake_up_outlives_its_worker() -> None:
    queue = SOURCE["Resources"]["WakeUps"]["Properties"]
    assert queue["VisibilityTimeout"] > FUNCTIONS["WorkerFunction"]["Properties"]["Timeout"]
    assert queue["RedrivePolicy"]["maxReceiveCount"] == 5
    failed = SOURCE["Resources"]["WakeUpsFailed"]["Properties"]
    assert failed["VisibilityTimeout"] > FUNCTIONS["FailuresFunction"]["Properties"]["Timeout"]
    # A message that was moved expires as if it had been sent there.
    assert failed["MessageRetentionPeriod"] >= queue["MessageRetentionPeriod"]


def test_a_function_goes_on_though_what_it_sends_leads_back_to_it(
    expanded: dict[str, Any],
) -> None:
    """Lambda stops a chain of messages at the 17th time that it comes to a function, as if it never
    ended. A session's wake-ups are such a chain for as long as it is busy. Lambda follows queues
    only, of what there is here; a stream or a schedule begins another chain."""
    leads: dict[str, set[str]] = {}
    for mapping in of_type(expanded, "AWS::Lambda::EventSourceMapping").values():
        source = mapping["Properties"]["EventSourceArn"]["Fn::GetAtt"][0]
        leads.setdefault(source, set()).add(mapping["Properties"]["FunctionName"]["Ref"])
    for name, queue in of_type(expanded, "AWS::SQS::Queue").items():
        if redrive := queue["Properties"].get("RedrivePolicy"):
            leads.setdefault(name, set()).add(redrive["deadLetterTargetArn"]["Fn::GetAtt"][0])
    functions = of_type(expanded, "AWS::Lambda::Function")
    for name in functions:
        may = statements_in(expanded["Resources"][f"{name}Role"])
        queues = [one["Resource"] for one in may if "sqs:SendMessage" in one["Action"]]
        leads[name] = {queue["Fn::GetAtt"][0] for queue in queues}

    def reached(start: str) -> set[str]:
        found: set[str] = set()
        left = [start]
        while left:
            new = leads.get(left.pop(), set()) - found
            found |= new
            left += new
        return found

    back = {name for name in functions if name in reached(name)}
    assert back == {"WorkerFunction", "FailuresFunction"}
    allowed = {n for n, one in functions.items() if "RecursiveLoop" in one["Properties"]}
    assert allowed == back
    assert all(functions[name]["Properties"]["RecursiveLoop"] == "Allow" for name in back)


def test_an_event_outlives_the_function_that_takes_it_in(expanded: dict[str, Any]) -> None:
    queue, failed = (
        of_type(expanded, "AWS::SQS::Queue")[name]["Properties"]
        for name in ("Intake", "IntakeFailed")
    )
    function = FUNCTIONS["IntakeFunction"]["Properties"]
    assert queue["VisibilityTimeout"] > function["Timeout"]
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == {"Fn::GetAtt": ["IntakeFailed", "Arn"]}
    sent = function["Events"]["Sent"]["Properties"]
    assert sent["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert failed["MessageRetentionPeriod"] >= queue["MessageRetentionPeriod"]


def test_one_rule_of_the_bus_may_send_events_and_loses_none(expanded: dict[str, Any]) -> None:
    """What is announced on the bus must not come back as an event."""
    (one,) = of_type(expanded, "AWS::Events::Rule").values()
    rule = one["Properties"]
    assert rule["EventBusName"] == {"Ref": "Bus"}
    assert rule["EventPattern"] == {"detail-type": ["Trigger Event"]}
    [target] = rule["Targets"]
    to, failed = ({"Fn::GetAtt": [name, "Arn"]} for name in ("Intake", "IntakeFailed"))
    assert (target["Arn"], target["DeadLetterConfig"]) == (to, {"Arn": failed})
    # The event as it is: the function wants its id.
    assert set(target) == {"Id", "Arn", "DeadLetterConfig"}
    [policy] = of_type(expanded, "AWS::SQS::QueuePolicy").values()
    assert policy["Properties"]["Queues"] == [{"Ref": "Intake"}, {"Ref": "IntakeFailed"}]
    [statement] = policy["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert (statement["Action"], statement["Resource"]) == ("sqs:SendMessage", [to, failed])
    only = {"aws:SourceArn": {"Fn::GetAtt": ["TriggerEvents", "Arn"]}}
    assert statement["Condition"] == {"ArnEquals": only}


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("", True),
        ("api.example.com", True),
        ("https://api.example.com", False),
        ("api.example.com/v1", False),
        ("API.example.com", False),
        ("*.example.com", False),
    ],
)
def test_a_domain_is_mapped_whole_where_one_is_named(name: str, taken: bool) -> None:
    """The published client of triggers drops the path of its base URL, and so a stage's name."""
    assert bool(re.search(SOURCE["Parameters"]["DomainName"]["AllowedPattern"], name)) == taken
    domain, mapping = (SOURCE["Resources"][one] for one in ("Domain", "DomainMapping"))
    assert domain["Condition"] == mapping["Condition"] == "HasDomainName"
    assert "BasePath" not in mapping["Properties"]
    assert mapping["Properties"]["RestApiId"] == {"Ref": "Api"}


def test_every_failed_wake_up_raises_an_alarm(expanded: dict[str, Any]) -> None:
    alarms = of_type(expanded, "AWS::CloudWatch::Alarm")
    told = alarms["WakeUpsFailedAlarm"]["Properties"]
    assert told["Dimensions"] == [{"Name": "FunctionName", "Value": {"Ref": "FailuresFunction"}}]
    assert (told["MetricName"], told["Statistic"]) == ("Invocations", "Sum")


def test_what_was_written_is_told_soon_or_not_at_all() -> None:
    """From the very beginning of the stream: what is written until the mapping reads is told too.
    What is told twice is known by its offset; what comes minutes late, clients have asked for."""
    function = FUNCTIONS["BroadcastFunction"]["Properties"]
    mapping = function["Events"]["Heard"]["Properties"]
    assert mapping["StartingPosition"] == "TRIM_HORIZON"
    assert mapping["MaximumRecordAgeInSeconds"] > 2 * function["Timeout"]
    assert mapping["MaximumRecordAgeInSeconds"] <= 300
    assert mapping["MaximumRetryAttempts"] == -1  # its age ends a record
    assert mapping["ParallelizationFactor"] == 1  # else a session's segments pass each other
    assert mapping["BisectBatchOnFunctionError"]
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_both_readers_of_the_stream_find_the_image_that_they_read() -> None:
    table = SOURCE["Resources"]["Table"]["Properties"]
    assert table["StreamSpecification"] == {"StreamViewType": "NEW_AND_OLD_IMAGES"}
    filters = {
        name: [
            json.loads(one["Pattern"])
            for event in function["Properties"].get("Events", {}).values()
            if event["Type"] == "DynamoDB"
            for one in event["Properties"]["FilterCriteria"]["Filters"]
        ]
        for name, function in FUNCTIONS.items()
    }
    # A third reader of the same stream would have all of them throttled.
    assert {name: patterns for name, patterns in filters.items() if patterns} == {
        "CollectorFunction": [
            {"eventName": ["REMOVE"], "dynamodb": {"Keys": {"sk": {"S": ["META"]}}}},
            {"eventName": ["INSERT"], "dynamodb": {"NewImage": {"ended": {"N": ["1"]}}}},
        ],
        "BroadcastFunction": [
            {"eventName": ["INSERT"], "dynamodb": {"NewImage": {"heard": {"N": ["1"]}}}}
        ],
    }


def test_the_table_outlives_the_stack() -> None:
    table = SOURCE["Resources"]["Table"]
    # Not a table that a failed first deployment left: the next one could not make it.
    assert table["DeletionPolicy"] == "RetainExceptOnCreate"
    assert table["UpdateReplacePolicy"] == "Retain"
    assert table["Properties"]["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]


def test_every_function_keeps_its_logs_for_a_while_only(expanded: dict[str, Any]) -> None:
    groups = of_type(expanded, "AWS::Logs::LogGroup")
    assert all(group["Properties"]["RetentionInDays"] for group in groups.values())
    for function in of_type(expanded, "AWS::Lambda::Function").values():
        logging = function["Properties"]["LoggingConfig"]
        assert logging["LogGroup"]["Ref"] in groups
        assert logging["LogFormat"] == "JSON"
        assert function["Properties"]["TracingConfig"] == {"Mode": "Active"}


# --- linters -------------------------------------------------------------------------------------


def test_sam_finds_nothing() -> None:
    command: list[str | Path] = [SAM / "sam", "validate", "--lint", "--region", "us-east-1"]
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "SAM_CLI_TELEMETRY": "0"}
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stdout + run.stderr


def test_cfn_lint_finds_nothing_in_the_expansion(expanded_file: Path) -> None:
    command: list[str | Path] = [SAM / "cfn-lint", expanded_file, "--region", "us-east-1"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout
    assert not run.stdout
