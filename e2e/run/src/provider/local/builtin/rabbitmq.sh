#!/bin/sh
# The contract of the official rabbitmq image (RABBITMQ_* variables, files in /etc/rabbitmq, the plugins of its tags) for a plain process.
# E2E_PORT and E2E_..._PORT are the ports to listen on, E2E_WORK is a private directory, E2E_CONFIG the place of the configuration. Arguments
# are those of the container.
set -eu
if [ "${1:-}" = rabbitmq-server ]; then shift; fi

umask 077
printf '%s' "${RABBITMQ_ERLANG_COOKIE:-$(od -An -N20 -tx1 /dev/urandom | tr -d ' \n')}" > "$HOME/.erlang.cookie"
chmod 400 "$HOME/.erlang.cookie"

mkdir "$E2E_WORK/conf.d"
for file in "$E2E_CONFIG"/rabbitmq.conf "$E2E_CONFIG"/advanced.config "$E2E_CONFIG"/conf.d/*.conf; do
    if [ -f "$file" ]; then cp -L "$file" "$E2E_WORK/${file#"$E2E_CONFIG/"}"; fi
done
plugins=rabbitmq_prometheus
case $E2E_IMAGE in *management*) plugins="$plugins,rabbitmq_management" ;; esac
if [ -f "$E2E_CONFIG/enabled_plugins" ]; then
    plugins=$(tr -d '[:space:][].' < "$E2E_CONFIG/enabled_plugins")
fi
echo "[$plugins]." > "$E2E_WORK/enabled_plugins"

# Has a plugin that is enabled listen on this machine's port: the last file counts.
listen() {
    case ,$plugins, in *",$1,"*) shift && printf '%s\n' "$@" ;; esac
}
{
    echo "listeners.tcp.default = 127.0.0.1:$E2E_PORT"
    listen rabbitmq_management 'management.tcp.ip = 127.0.0.1' "management.tcp.port = $E2E_MANAGEMENT_PORT"
    listen rabbitmq_prometheus 'prometheus.tcp.ip = 127.0.0.1' "prometheus.tcp.port = $E2E_PROMETHEUS_PORT"
    listen rabbitmq_mqtt "mqtt.listeners.tcp.default = 127.0.0.1:$E2E_MQTT_PORT"
    listen rabbitmq_stomp "stomp.listeners.tcp.default = 127.0.0.1:$E2E_STOMP_PORT"
    listen rabbitmq_stream "stream.listeners.tcp.default = 127.0.0.1:$E2E_STREAM_PORT"
} > "$E2E_WORK/conf.d/zzz.conf"

# The node's name service, which Erlang would leave behind as a daemon, ends with this process's group.
epmd -address 127.0.0.1 -port "$ERL_EPMD_PORT" &
until epmd -port "$ERL_EPMD_PORT" -names > /dev/null 2>&1; do
    kill -0 $! || exit 1
    sleep 0.1
done
exec rabbitmq-server "$@"
