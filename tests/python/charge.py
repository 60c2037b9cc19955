"""One charge by an OCPP 1.6 client library that this project did not write (PyPI `ocpp`).

Boot, status, Authorize, StartTransaction, MeterValues, StopTransaction against the gateway at --url; prints what the gateway
answered as one JSON object. The library validates every message against the official OCPP 1.6 schemas, in both directions.
"""

import argparse
import asyncio
import json
from datetime import datetime, timedelta, timezone

import websockets
from ocpp.routing import on
from ocpp.v16 import ChargePoint, call, call_result
from ocpp.v16.enums import Action


class Station(ChargePoint):
    """Answers what a gateway may ask at any time, so that nothing it sends goes unanswered."""

    @on(Action.change_configuration)
    def on_change_configuration(self, key, value):
        return call_result.ChangeConfiguration(status="Accepted")

    @on(Action.get_configuration)
    def on_get_configuration(self, **kwargs):
        return call_result.GetConfiguration(configuration_key=[], unknown_key=kwargs.get("key", []))

    @on(Action.trigger_message)
    def on_trigger_message(self, requested_message, **kwargs):
        return call_result.TriggerMessage(status="NotImplemented")


def text(at):
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


async def charge(args):
    headers = None
    if args.password:
        import base64

        token = base64.b64encode(f"{args.identity}:{args.password}".encode()).decode()
        headers = {"Authorization": f"Basic {token}"}
    url = f"{args.url}/{args.identity}"
    async with websockets.connect(url, subprotocols=["ocpp1.6"], additional_headers=headers) as socket:
        station = Station(args.identity, socket, response_timeout=15)
        reader = asyncio.create_task(station.start())
        boot = await station.call(
            call.BootNotification(
                charge_point_model="PyPI-1", charge_point_vendor="ocpp", firmware_version="2.1.0", charge_point_serial_number="42"
            )
        )
        await station.call(call.StatusNotification(connector_id=1, error_code="NoError", status="Preparing"))
        authorized = await station.call(call.Authorize(id_tag=args.id_tag))
        now = datetime.fromisoformat(boot.current_time.replace("Z", "+00:00"))
        start = now.replace(microsecond=0) - timedelta(minutes=args.minutes)
        started = await station.call(
            call.StartTransaction(connector_id=1, id_tag=args.id_tag, meter_start=args.meter_start_wh, timestamp=text(start))
        )
        # The same start again, as after a lost answer: it must be the same transaction.
        again = await station.call(
            call.StartTransaction(connector_id=1, id_tag=args.id_tag, meter_start=args.meter_start_wh, timestamp=text(start))
        )
        await station.call(call.StatusNotification(connector_id=1, error_code="NoError", status="Charging"))
        for step in range(1, args.samples + 1):
            share = step / (args.samples + 1)
            at = start + timedelta(minutes=args.minutes * share)
            register = args.meter_start_wh + round(args.energy_wh * share)
            await station.call(
                call.MeterValues(
                    connector_id=1,
                    transaction_id=started.transaction_id,
                    meter_value=[
                        {
                            "timestamp": text(at),
                            "sampled_value": [
                                {"value": str(register), "measurand": "Energy.Active.Import.Register", "unit": "Wh"},
                                {"value": "31.5", "measurand": "Current.Import", "unit": "A"},
                            ],
                        }
                    ],
                )
            )
        stopped = await station.call(
            call.StopTransaction(
                transaction_id=started.transaction_id,
                id_tag=args.id_tag,
                meter_stop=args.meter_start_wh + args.energy_wh,
                timestamp=text(start + timedelta(minutes=args.minutes)),
                reason="Local",
            )
        )
        await station.call(call.StatusNotification(connector_id=1, error_code="NoError", status="Available"))
        reader.cancel()
        print(
            json.dumps(
                {
                    "boot": boot.status,
                    "interval": boot.interval,
                    "authorize": authorized.id_tag_info["status"],
                    "start": started.id_tag_info["status"],
                    "transaction_id": started.transaction_id,
                    "transaction_id_again": again.transaction_id,
                    "stop": (stopped.id_tag_info or {}).get("status"),
                }
            )
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True, help="ws://host:port/ocpp")
    parser.add_argument("--identity", required=True)
    parser.add_argument("--password", default="")
    parser.add_argument("--id-tag", required=True)
    parser.add_argument("--meter-start-wh", type=int, default=100_000)
    parser.add_argument("--energy-wh", type=int, default=12_345)
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--samples", type=int, default=5)
    asyncio.run(asyncio.wait_for(charge(parser.parse_args()), timeout=60))


if __name__ == "__main__":
    main()
