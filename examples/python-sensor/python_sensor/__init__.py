"""A module that serves temperature and humidity, read over HTTP, as a sensor."""
