package commitlog_test
import ("testing";"context";"fmt";"sync";"github.com/stretchr/testify/require";"casepress/commitlog")
func TestSmoke(t *testing.T){
 dir:=t.TempDir()+"/a/b"
 l,err:=commitlog.Open(dir,commitlog.Options{SegmentBytes:64<<10}); require.NoError(t,err)
 var wg sync.WaitGroup
 for p:=range 8 { wg.Go(func(){ for i:=range 200 { _,err:=l.Append(context.Background(),[]byte(fmt.Sprintf("%d-%d-%0500d",p,i,0))); require.NoError(t,err)}})}
 wg.Wait()
 require.Equal(t,uint64(1600),l.End())
 _,err=l.AppendLazy([]byte("lazy")); require.NoError(t,err)
 require.NoError(t,l.Wait(t.Context(),1600))
 require.NoError(t,l.Verify(t.Context()))
 require.NoError(t,l.Close())
 l,err=commitlog.Open(dir,commitlog.Options{SegmentBytes:64<<10}); require.NoError(t,err)
 require.Equal(t,uint64(1601),l.End())
 n:=uint64(0); for { rs,err:=l.Read(n,10000); require.NoError(t,err); if rs==nil{break}; for _,r:=range rs{require.Equal(t,n,r.Offset);n++} }
 require.Equal(t,uint64(1601),n)
 require.NoError(t,l.Verify(t.Context()))
 for _,s:=range l.Segments(){ t.Log(s) }
 at,err:=l.OffsetAt(l.Segments()[2].First); require.NoError(t,err); t.Log(at)
 require.NoError(t,l.DropBefore(900)); t.Log(l.Start())
 require.NoError(t,l.Close())
}
