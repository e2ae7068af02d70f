"""Every command, by name. What it does stands in the module that it is taken from."""

from __future__ import annotations

import typer

from penstock.cli import (
    controls,
    cost,
    deploy,
    doctor,
    inspect,
    invoke,
    listen,
    provision,
    serve,
    simulate,
    up,
)

app = typer.Typer(
    name="penstock",
    help="Serverless GPU inference on your own machines.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(up.up)
app.command()(deploy.deploy)
app.command()(invoke.invoke)
app.command()(inspect.functions)
app.command()(inspect.jobs)
app.command()(inspect.instances)
app.command()(controls.gpus)
app.command()(controls.pause)
app.command()(controls.resume)
app.command()(controls.warmup)
app.command()(cost.cost)
app.add_typer(provision.app, name="provision")
app.command()(listen.listen)
app.command()(doctor.doctor)
app.command()(simulate.simulate)
app.command()(serve.gateway)
app.command()(serve.workers)
