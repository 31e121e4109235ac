# In place of grafana/grafana, which Debian does not have. No Grafana: a server of files under the health path, so that the
# stack's order and mounts are exercised. What Grafana makes of its provisioning is not checked by it.
FROM debian:bookworm-slim
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-minimal libpython3-stdlib wget \
 && mkdir -p /srv/api && echo '{"database":"stand-in"}' >/srv/api/health \
 && ln -s /etc/grafana/provisioning /srv/provisioning && ln -s /var/lib/grafana/dashboards /srv/dashboards
USER 472
# The first process of a container hears only what it has asked for.
STOPSIGNAL SIGINT
CMD ["python3", "-m", "http.server", "-d", "/srv", "3000"]
