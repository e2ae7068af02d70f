def lambda_handler(event, context):
    """An AWS Lambda handler: `event` is the parsed JSON; status, headers and body of the answer are returned."""
    name = event.get("name", "world")
    return {"statusCode": 200, "headers": {"Content-Type": "text/plain"}, "body": f"hello {name}"}
