#!/usr/bin/env bash
# Apache Kafka on this machine without Docker: `kafka.sh start|stop|status|jars [--brokers 1|3] [--dir DIR] [--port P]`.
# Brokers listen on 127.0.0.1, ports P, P+1, P+2 (controllers on P+10 and up). For development and tests. Needs Java 17
# or newer; the jars come by Maven, once. All data, logs and pid files lie in DIR.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
JARS=$HERE/target/dependency
BROKERS=1
DIR=$HERE/target/data
PORT=9092
HEAP=${KAFKA_HEAP_MEGABYTES:-512}

fail() {
  echo "kafka.sh: $1" >&2
  exit "${2:-1}"
}

usage() {
  fail "use: kafka.sh start|stop|status|jars [--brokers 1|3] [--dir DIR] [--port P]" 2
}

COMMAND=${1:-}
[ $# -gt 0 ] && shift
while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || usage
  case $1 in
    --brokers) BROKERS=$2 ;;
    --dir) DIR=$2 ;;
    --port) PORT=$2 ;;
    *) usage ;;
  esac
  shift 2
done
case $BROKERS in 1 | 3) ;; *) usage ;; esac
case $PORT in '' | *[!0-9]*) usage ;; esac

# The pid of a broker of this folder that runs, nothing when it does not.
running() {
  local pid
  pid=$(cat "$DIR/broker-$1/pid" 2>/dev/null) || return 1
  { tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q -- "$DIR/broker-$1/server.properties"; } 2>/dev/null || return 1
  echo "$pid"
}

answers() {
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

addresses() {
  local list="" i
  for i in $(seq "$BROKERS"); do list+="${list:+,}127.0.0.1:$((PORT + i - 1))"; done
  echo "kafka://$list"
}

fetch_jars() {
  # The stamp is the pinned pom: another version replaces the jars.
  cmp -s "$HERE/pom.xml" "$JARS/.pom" && return
  command -v mvn >/dev/null || fail "Maven (mvn) is missing: install it (Debian: maven)"
  mkdir -p "$HERE/target"
  (
    flock 9
    cmp -s "$HERE/pom.xml" "$JARS/.pom" && exit
    rm -rf "$JARS"
    mvn --quiet --batch-mode --file "$HERE/pom.xml" dependency:copy-dependencies \
      -DoutputDirectory="$JARS" >"$HERE/target/maven.log" 2>&1 \
      || fail "Maven could not get the jars: see $HERE/target/maven.log"
    cp "$HERE/pom.xml" "$JARS/.pom"
  ) 9>"$HERE/target/lock"
}

properties() {
  local voters="" i replicas=$BROKERS insync=$((BROKERS > 1 ? 2 : 1))
  for i in $(seq "$BROKERS"); do voters+="${voters:+,}$i@127.0.0.1:$((PORT + 9 + i))"; done
  cat <<END
process.roles=broker,controller
node.id=$1
controller.quorum.voters=$voters
listeners=PLAINTEXT://127.0.0.1:$((PORT + $1 - 1)),CONTROLLER://127.0.0.1:$((PORT + 9 + $1))
advertised.listeners=PLAINTEXT://127.0.0.1:$((PORT + $1 - 1))
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=$DIR/broker-$1/data
auto.create.topics.enable=false
default.replication.factor=$replicas
min.insync.replicas=$insync
unclean.leader.election.enable=false
offsets.topic.replication.factor=$replicas
offsets.topic.num.partitions=8
offsets.retention.minutes=5256000
transaction.state.log.replication.factor=$replicas
transaction.state.log.min.isr=$insync
share.coordinator.state.topic.replication.factor=$replicas
share.coordinator.state.topic.min.isr=$insync
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=16777216
END
}

launch() {
  local home=$DIR/broker-$1 id
  mkdir -p "$home"
  properties "$1" >"$home/server.properties"
  if [ ! -f "$home/data/meta.properties" ]; then
    [ -f "$DIR/cluster-id" ] || head -c 16 /dev/urandom | base64 | tr '+/' 'ab' | tr -d '=\n' >"$DIR/cluster-id"
    id=$(cat "$DIR/cluster-id")
    java -Xmx128m -XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile="$HERE/log4j2.properties" -cp "$JARS/*" \
      kafka.tools.StorageTool format --cluster-id "$id" --config "$home/server.properties" \
      >"$home/format.log" 2>&1 || fail "the folder could not be formatted: see $home/format.log"
  fi
  nohup java -Xms128m "-Xmx${HEAP}m" -XX:+UseSerialGC -XX:+ExitOnOutOfMemoryError \
    -Dlog4j2.configurationFile="$HERE/log4j2.properties" -cp "$JARS/*" \
    kafka.Kafka "$home/server.properties" >>"$home/kafka.log" 2>&1 </dev/null 9>&- &
  echo $! >"$home/pid"
}

await() {
  local home=$DIR/broker-$1 deadline=$((SECONDS + 60))
  until answers $((PORT + $1 - 1)); do
    running "$1" >/dev/null || fail "broker $1 ended: see $home/kafka.log"
    [ $SECONDS -lt $deadline ] || fail "broker $1 did not start within 60 s: see $home/kafka.log"
    sleep 0.1
  done
}

# What every start needs; `kafka.sh jars` does only this and prints their folder.
jars() {
  local version
  command -v java >/dev/null || fail "Java is missing: install version 17 or newer (Debian: openjdk-17-jre-headless)"
  version=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
  [ "${version:-0}" -ge 17 ] || fail "Java $version is too old: install version 17 or newer"
  fetch_jars
  echo "$JARS"
}

start() {
  local i
  jars >/dev/null
  mkdir -p "$DIR"
  DIR=$(cd "$DIR" && pwd)
  for i in $(seq "$BROKERS"); do
    running "$i" >/dev/null && continue
    answers $((PORT + i - 1)) && fail "port $((PORT + i - 1)) is taken: choose another with --port"
    launch "$i"
  done
  for i in $(seq "$BROKERS"); do await "$i"; done
  addresses
}

brokers_here() {
  local home
  for home in "$DIR"/broker-*/; do [ -d "$home" ] && basename "$home" | cut -d- -f2; done
}

stop() {
  local i pid deadline=$((SECONDS + 30))
  DIR=$(cd "$DIR" 2>/dev/null && pwd) || exit 0
  for i in $(brokers_here); do pid=$(running "$i") && kill "$pid"; done
  for i in $(brokers_here); do
    while pid=$(running "$i"); do
      [ $SECONDS -lt $deadline ] || kill -9 "$pid"
      sleep 0.1
    done
    rm -f "$DIR/broker-$i/pid"
  done
}

status() {
  local i pid found=1
  DIR=$(cd "$DIR" 2>/dev/null && pwd) || fail "nothing has run in $DIR"
  for i in $(brokers_here); do
    if pid=$(running "$i"); then
      echo "broker $i runs (process $pid) at $(sed -n 's/^advertised.listeners=PLAINTEXT:\/\///p' "$DIR/broker-$i/server.properties")"
      found=0
    else
      echo "broker $i is stopped"
    fi
  done
  exit $found
}

case $COMMAND in
  start) start ;;
  stop) stop ;;
  status) status ;;
  jars) jars ;;
  *) usage ;;
esac
