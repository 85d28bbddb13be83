# needs: java javac
set -eu
cat > T.java <<'J'
import java.util.*; import java.util.concurrent.*; import java.util.stream.*;
public class T { public static void main(String[] a) throws Exception {
  System.out.println(IntStream.range(0, 1000).parallel().sum());
  ExecutorService e = Executors.newFixedThreadPool(4); List<Future<Integer>> f = new ArrayList<>(); for (int i = 0; i < 10; i++) { int n = i; f.add(e.submit(() -> n * n)); } int s = 0; for (Future<Integer> x : f) s += x.get(); e.shutdown(); System.out.println(s);
  Process p = new ProcessBuilder("sh", "-c", "echo child").start(); System.out.print(new String(p.getInputStream().readAllBytes())); System.out.println(p.waitFor());
  try { Object o = null; o.toString(); } catch (NullPointerException x) { System.out.println("npe"); } System.gc(); System.exit(9); } }
J
javac T.java; java -Xmx128m T
