def initialize(context):
    """Runs once per instance, before its first call: load a model here."""
    context.logger.info("ready")


def handler(event, context):
    """Runs once per call. `event` is the body, as bytes; what is returned is the answer."""
    return {"hello": event.decode() or "world", "attempt": context.attempt}
