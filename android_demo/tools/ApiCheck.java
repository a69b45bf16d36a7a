import java.io.File;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import org.codehaus.mojo.animal_sniffer.SignatureChecker;
import org.codehaus.mojo.animal_sniffer.logging.PrintWriterLogger;

/** Prints every reference of a jar to something that a signature file of Android does not have. */
public class ApiCheck {
    /** Arguments: the signature file, the jar. */
    public static void main(String[] arguments) throws Exception {
        try (InputStream signature = Files.newInputStream(Path.of(arguments[0]))) {
            PrintWriterLogger log = new PrintWriterLogger(System.out);
            SignatureChecker checker = new SignatureChecker(signature, Set.of(), log);
            checker.setSourcePath(List.of());
            checker.process(new File(arguments[1]));
        }
    }
}
