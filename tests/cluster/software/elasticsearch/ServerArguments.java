// Does what bin/elasticsearch does: reads elasticsearch.yml and writes, to standard output, the serialised arguments
// that the server reads from its standard input.
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.nio.file.Path;
import java.util.Map;
import org.elasticsearch.bootstrap.ServerArgs;
import org.elasticsearch.common.io.stream.OutputStreamStreamOutput;
import org.elasticsearch.common.settings.KeyStoreWrapper;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.InternalSettingsPreparer;

public class ServerArguments {
    /** Arguments: home directory, configuration directory. */
    public static void main(String[] paths) throws Exception {
        Settings home = Settings.builder().put("path.home", paths[0]).build();
        Environment env = InternalSettingsPreparer.prepareEnvironment(home, Map.of(), Path.of(paths[1]), () -> "node-1");
        // A daemon lets go of its standard streams; any other server dies when its standard input closes.
        boolean daemon = true, quiet = false;
        var args = new ServerArgs(daemon, quiet, null, KeyStoreWrapper.create(), env.settings(), env.configFile(), env.logsFile());
        try (var out = new OutputStreamStreamOutput(new FileOutputStream(FileDescriptor.out))) {
            args.writeTo(out);
        }
    }
}
