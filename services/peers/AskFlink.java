import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.flink.configuration.GlobalConfiguration;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;

/** Asks Flink: a folder with config.yaml and statements.sql. Its SQL client would do, but starts a gateway beside it. */
public final class AskFlink {
    public static void main(String[] arguments) throws Exception {
        Path folder = Path.of(arguments[0]);
        TableEnvironment tables = TableEnvironment.create(
            EnvironmentSettings.newInstance()
                .inStreamingMode()
                .withConfiguration(GlobalConfiguration.loadConfiguration(folder.toString()))
                .build());
        for (String statement : Files.readString(folder.resolve("statements.sql")).split(";")) {
            if (!statement.isBlank()) {
                tables.executeSql(statement).await();
            }
        }
    }
}
