"""What runs a service: the exactly-once processor, the consumer loop, timers, the runner and the web application."""
