// pgjdbc, the driver of DBeaver, Metabase and most that runs on a JVM, driven like the other clients
// of the tests: a JSON object as the argument, one JSON line as the answer. The keys of the argument
// are the fields of Target in tests/ground/clients.

import com.google.gson.Gson;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.SequenceInputStream;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HexFormat;
import java.util.List;
import java.util.Properties;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.postgresql.PGConnection;

final class Pgjdbc {
  /** The size of one row of pump. */
  private static final int ROW_BYTES = 64 * 1024;

  private static final String SLEEP = "select pg_sleep(60)";

  private final JsonObject target;

  private Pgjdbc(JsonObject target) {
    this.target = target;
  }

  private String text(String key) {
    JsonElement value = target.get(key);
    return value == null || value.isJsonNull() ? null : value.getAsString();
  }

  private Connection connect() throws SQLException {
    String verified = target.get("verify").getAsBoolean() ? "verify-full" : "require";
    String mode = text("sslmode");
    Properties options = new Properties();
    String[][] given = {
      {"sslmode", mode == null ? verified : mode},
      {"user", text("user")},
      {"password", text("password")},
      {"sslrootcert", text("ca")},
      {"sslNegotiation", text("sslnegotiation")},
      {"channelBinding", text("channel_binding")},
      {"sslcert", text("client_cert")},
      {"sslkey", text("client_key")},
      // Of keys in PEM, which the tests have; the driver takes them for RSA.
      {"pemKeyAlgorithm", "EC"},
      {"connectTimeout", "20"},
    };
    for (String[] option : given) {
      if (option[1] != null) {
        options.setProperty(option[0], option[1]);
      }
    }
    String address = text("host") + ":" + target.get("port").getAsInt();
    return DriverManager.getConnection("jdbc:postgresql://" + address + "/" + text("dbname"), options);
  }

  private static String ask(Connection connection, String query) throws SQLException {
    try (Statement statement = connection.createStatement();
        ResultSet rows = statement.executeQuery(query)) {
      rows.next();
      return rows.getString(1);
    }
  }

  private static JsonObject identity(Connection connection) throws SQLException {
    JsonObject answer = new JsonObject();
    answer.addProperty("who", ask(connection, "show cluster_name"));
    // The driver shows nothing of its TLS: this is the server's view.
    String tls = "select version from pg_stat_ssl where pid = pg_backend_pid()";
    answer.addProperty("server_tls", ask(connection, tls));
    return answer;
  }

  private JsonObject whoami() throws SQLException {
    try (Connection connection = connect()) {
      return identity(connection);
    }
  }

  private JsonObject idle() throws SQLException, IOException {
    try (Connection connection = connect()) {
      System.out.println("ready");
      System.in.read();
      return identity(connection);
    }
  }

  private JsonObject pump() throws Exception {
    MessageDigest sent = MessageDigest.getInstance("SHA-256");
    MessageDigest received = MessageDigest.getInstance("SHA-256");
    Random random = new Random();
    int wanted = target.get("mib").getAsInt() * 1024 * 1024;
    try (Connection connection = connect();
        Statement statement = connection.createStatement()) {
      statement.execute("create temp table pump (n int, chunk text)");
      List<InputStream> lines = new ArrayList<>();
      for (int n = 0; n < wanted / ROW_BYTES; n++) {
        byte[] raw = new byte[ROW_BYTES / 2];
        random.nextBytes(raw);
        String row = HexFormat.of().formatHex(raw);
        sent.update(row.getBytes(StandardCharsets.US_ASCII));
        String line = n + "\t" + row + "\n";
        lines.add(new ByteArrayInputStream(line.getBytes(StandardCharsets.US_ASCII)));
      }
      connection
          .unwrap(PGConnection.class)
          .getCopyAPI()
          .copyIn("copy pump from stdin", new SequenceInputStream(Collections.enumeration(lines)));
      String stored =
          ask(connection, "select encode(sha256(string_agg(chunk, '' order by n)::bytea), 'hex') from pump");
      int bytes = 0;
      try (ResultSet rows = statement.executeQuery("select chunk from pump order by n")) {
        while (rows.next()) {
          byte[] row = rows.getString(1).getBytes(StandardCharsets.US_ASCII);
          received.update(row);
          bytes += row.length;
        }
      }
      String out = HexFormat.of().formatHex(sent.digest());
      String back = HexFormat.of().formatHex(received.digest());
      if (bytes != wanted || !out.equals(back) || !out.equals(stored)) {
        throw new IllegalStateException("the data changed on the way");
      }
      JsonObject answer = identity(connection);
      answer.addProperty("bytes", bytes);
      answer.addProperty("sha256", out);
      return answer;
    }
  }

  private JsonObject sleepCancel() throws Exception {
    Connection watcher = connect();
    Connection sleeper = connect();
    Statement sleeping = sleeper.createStatement();
    CompletableFuture<SQLException> ended =
        CompletableFuture.supplyAsync(
            () -> {
              try {
                sleeping.execute(SLEEP);
                return null;
              } catch (SQLException error) {
                return error;
              }
            });
    int pid = sleeper.unwrap(PGConnection.class).getBackendPID();
    String asleep =
        "select count(*) from pg_stat_activity where state = 'active' and query = '" + SLEEP + "' and pid = " + pid;
    long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
    while (!"1".equals(ask(watcher, asleep))) {
      if (System.nanoTime() > deadline) {
        throw new IllegalStateException("after 20 s still not: sleeping");
      }
      Thread.sleep(20);
    }
    JsonObject answer = new JsonObject();
    answer.addProperty("cancelled", false);
    answer.addProperty("transport", "plaintext");
    sleeping.cancel();
    try {
      SQLException error = ended.get(target.get("timeout").getAsInt(), TimeUnit.SECONDS);
      answer.addProperty("cancelled", error != null && "57014".equals(error.getSQLState()));
      answer.addProperty("detail", String.valueOf(error));
    } catch (TimeoutException late) {
      answer.addProperty("detail", "it sleeps on");
    }
    return answer;
  }

  private JsonObject act() throws Exception {
    String action = text("action");
    switch (action) {
      case "whoami":
        return whoami();
      case "idle":
        return idle();
      case "pump":
        return pump();
      case "sleep_cancel":
        return sleepCancel();
      default:
        throw new IllegalArgumentException("no such action: " + action);
    }
  }

  public static void main(String[] arguments) {
    JsonObject answer;
    boolean ok = false;
    try {
      answer = new Pgjdbc(JsonParser.parseString(arguments[0]).getAsJsonObject()).act();
      ok = true;
    } catch (Exception error) {
      error.printStackTrace();
      answer = new JsonObject();
      answer.addProperty("error", String.valueOf(error.getMessage()));
    }
    answer.addProperty("ok", ok);
    answer.addProperty("client", "pgjdbc");
    System.out.println(new Gson().toJson(answer));
    // At once, open queries included.
    Runtime.getRuntime().halt(ok ? 0 : 1);
  }
}
