# In place of eclipse-mosquitto: Debian's, with the official image's user and directories.
FROM debian:bookworm-slim
RUN groupadd -g 1883 mosquitto && useradd -u 1883 -g 1883 -M -d /mosquitto mosquitto \
 && apt-get update -qq && apt-get install -y -qq --no-install-recommends mosquitto mosquitto-clients \
 && install -d -o 1883 -g 1883 /mosquitto/data /mosquitto/config
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
CMD ["mosquitto", "-c", "/mosquitto/config/mosquitto.conf"]
